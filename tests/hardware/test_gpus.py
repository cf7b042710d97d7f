"""GPUs of the other makers from recorded files, and all makers together."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rooflight.core.types import GpuState, PcieLink
from rooflight.hardware.amd import amd_gpus, gfx_target, rocm_version
from rooflight.hardware.apple import apple_gpus
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.gpus import detect_gpus
from rooflight.hardware.jetson import jetson_gpus
from tests.hardware.fakes import FakeNvml, found_in_files, load, no_nvml, write_files


def test_mi300x(tmp_path: Path) -> None:
    (gpu,) = found_in_files("mi300x", tmp_path).gpus
    assert (gpu.name, gpu.vendor, gpu.target, gpu.units) == ("AMD Instinct MI300X OAM", "amd", "gfx942", 304)
    assert (gpu.memory_bytes, gpu.free_bytes) == (206_141_652_992, 206_141_652_992 - 297_418_752)
    assert (gpu.power_limit_watts, gpu.default_power_limit_watts) == (750.0, 750.0)
    assert (gpu.uuid, gpu.pci_address, gpu.nvlinks) == ("81d367709bff2567", "0000:05:00.0", 2)
    assert gpu.pcie == PcieLink(generation=5, lanes=16, max_generation=5, max_lanes=16)
    assert gpu.max_core_clock_hz == 2.1e9
    assert gpu.state == GpuState(
        free_bytes=gpu.free_bytes,
        core_clock_hz=132e6,
        memory_clock_hz=900e6,
        power_watts=141.0,
        temperature_celsius=41.0,
        busy=0.12,
    )
    assert gpu.driver_version == "6.12.12"
    assert rocm_version(tmp_path) == "6.4.1"
    assert not gpu.unified_memory


def test_rx_7900_xtx(tmp_path: Path) -> None:
    (gpu,) = found_in_files("rx_7900_xtx", tmp_path).gpus
    assert (gpu.name, gpu.target, gpu.units) == ("AMD Radeon RX 7900 XTX", "gfx1100", 96)
    # The slot has 8 lanes; behind the card's own switch there are 16, always.
    assert gpu.pcie == PcieLink(generation=4, lanes=8, max_generation=4, max_lanes=16)
    assert (gpu.power_limit_watts, gpu.default_power_limit_watts) == (290.0, 355.0)
    assert gpu.state is not None
    assert (gpu.state.power_watts, gpu.state.temperature_celsius, gpu.state.core_clock_hz) == (23.0, 47.0, 500e6)
    assert gpu.nvlinks is None
    assert rocm_version(tmp_path) is None


def test_arc_b580_beside_the_processors_graphics(tmp_path: Path) -> None:
    inside, card = found_in_files("arc_b580", tmp_path).gpus
    assert (inside.name, inside.unified_memory, inside.pcie) == ("Intel GPU 0x4680", True, None)
    assert (card.name, card.vendor, card.unified_memory) == ("Intel(R) Arc(TM) B580 Graphics", "intel", False)
    assert card.pcie == PcieLink(generation=4, lanes=8, max_generation=4, max_lanes=8)
    assert (card.power_limit_watts, card.max_core_clock_hz) == (190.0, 2.85e9)
    assert card.state == GpuState(core_clock_hz=0.0, temperature_celsius=44.0)


def test_a_card_without_any_table_keeps_its_numbers(tmp_path: Path) -> None:
    write_files("rx_7900_xtx", tmp_path)
    (tmp_path / "usr/share/libdrm/amdgpu.ids").unlink()
    (gpu,) = amd_gpus(tmp_path).gpus
    assert gpu.name == "AMD GPU 0x744c (rev c8)"


@pytest.mark.parametrize(
    "failure", [KeyError("libamd_smi.so"), OSError("no such file"), AttributeError("x"), ImportError("y")]
)
def test_amdsmi_that_does_not_import_is_a_note(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def initialise() -> None:
        raise failure

    write_files("rx_7900_xtx", tmp_path)
    (tmp_path / "usr/share/libdrm/amdgpu.ids").unlink()
    monkeypatch.setitem(sys.modules, "amdsmi", SimpleNamespace(amdsmi_init=initialise))
    found = amd_gpus(tmp_path)
    assert len(found.gpus) == 1
    assert found.notes[0].startswith(f"amdsmi cannot be used: {type(failure).__name__}")


def smi(**answers: Any) -> SimpleNamespace:
    """An amdsmi with one GPU, whose answers may be exceptions."""

    def said(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            answer = answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    names = ("device_bdf", "asic_info", "device_uuid")
    functions = {f"amdsmi_get_gpu_{name}": said(name) for name in names}
    return SimpleNamespace(
        amdsmi_init=lambda: None,
        amdsmi_shut_down=lambda: None,
        amdsmi_get_processor_handles=lambda: ["handle"],
        amdsmi_get_energy_count=said("energy") if "energy" in answers else None,
        **functions,
    )


def test_amdsmi_tells_what_the_files_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files("rx_7900_xtx", tmp_path)
    (tmp_path / "usr/share/libdrm/amdgpu.ids").unlink()
    market = {"market_name": "Radeon RX 7900 XTX"}
    monkeypatch.setitem(sys.modules, "amdsmi", smi(device_bdf="0000:09:00.0", asic_info=market, device_uuid="N/A"))
    (gpu,) = amd_gpus(tmp_path).gpus
    assert (gpu.name, gpu.uuid) == ("Radeon RX 7900 XTX", "398a3f843a146602")
    broken = smi(device_bdf="0000:09:00.0", asic_info=OSError("gone"), device_uuid="u")
    monkeypatch.setitem(sys.modules, "amdsmi", broken)
    assert amd_gpus(tmp_path).gpus[0].name == "AMD GPU 0x744c (rev c8)"


@pytest.mark.parametrize(
    ("version", "target"),
    [
        (90402, "gfx942"),
        (90010, "gfx90a"),
        (90500, "gfx950"),
        (110000, "gfx1100"),
        (120001, "gfx1201"),
        (100306, "gfx1036"),
        (0, None),
    ],
)
def test_gfx_target(version: int, target: str | None) -> None:
    assert gfx_target(version) == target


def test_other_cards_and_outputs_are_no_gpus(tmp_path: Path) -> None:
    device = tmp_path / "sys/class/drm/card0/device"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x1a03\n")  # a server's own display chip
    (tmp_path / "sys/class/drm/card0-DP-1").mkdir()
    assert detect_gpus(tmp_path, no_nvml()) == FoundGpus()


def test_all_makers_in_one_machine(tmp_path: Path) -> None:
    write_files("mi300x", tmp_path)
    device = tmp_path / "sys/class/drm/card7/device"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    found = detect_gpus(tmp_path, FakeNvml(load("two_mixed")))
    assert [(gpu.vendor, gpu.index) for gpu in found.gpus] == [("nvidia", 0), ("nvidia", 1), ("amd", 0), ("intel", 0)]
    assert found.cuda_driver_version == "13.2"


def test_a_jetson_without_nvml(tmp_path: Path) -> None:
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_text("nvidia,p3737-0000+p3701-0000\0nvidia,p3701-0000\0nvidia,tegra234\0")
    (tree / "model").write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    found = detect_gpus(tmp_path, no_nvml())
    assert [(gpu.name, gpu.compute_capability, gpu.unified_memory) for gpu in found.gpus] == [("Orin", "8.7", True)]
    assert found.notes[0].startswith("NVIDIA Jetson AGX Orin Developer Kit: ")
    with_nvml = detect_gpus(tmp_path, FakeNvml(load("jetson_orin")))  # JetPack 6: counted once
    assert [gpu.name for gpu in with_nvml.gpus] == ["Orin (nvgpu)"]
    (tree / "compatible").write_text("raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert jetson_gpus(tmp_path) == FoundGpus()


def test_apple_by_the_processors_name() -> None:
    registry = (
        '+-o AGXAcceleratorG14X  <class AGXAcceleratorG14X>\n    "gpu-core-count" = 38\n    "model" = "Apple M2 Max"\n'
    )
    (gpu,) = apple_gpus("Apple M2 Max", registry).gpus
    assert (gpu.name, gpu.units, gpu.unified_memory, gpu.memory_bytes) == ("Apple M2 Max", 38, True, None)
    assert apple_gpus("Apple M4", "").gpus[0].units is None
    assert apple_gpus("Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz") == FoundGpus()


@pytest.mark.gpu
def test_the_gpus_of_this_machine() -> None:
    import torch

    found = detect_gpus()
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.version.hip:
        assert len(found.gpus) >= len(names)
        return
    assert set(names) <= {gpu.name for gpu in found.gpus}
    assert found.cuda_driver_version is not None
    units = {gpu.name: gpu.units for gpu in found.gpus}
    for index, name in enumerate(names):
        if units[name] is not None:
            assert units[name] == torch.cuda.get_device_properties(index).multi_processor_count
