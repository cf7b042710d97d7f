"""GPUs from made-up answers: a fake NVML and a fake sysfs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rooflight.core.types import Gpu
from rooflight.hardware.gpus import FoundGpus, amd_gpus, apple_gpus, detect_gpus, nvidia_gpus

NOT_SUPPORTED, UNKNOWN = 3, 999


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(
            {3: "Not Supported", 9: "Driver Not Loaded", 12: "Library Not Found"}.get(value, "Unknown Error")
        )
        self.value = value


@dataclass
class FakeNvml:
    """Two H100s; `refuse` holds the error code of each call that fails."""

    refuse: dict[str, int] = field(default_factory=dict)
    answers: dict[str, Any] = field(
        default_factory=lambda: {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlSystemGetCudaDriverVersion_v2": 13010,
            "nvmlSystemGetDriverVersion": "580.65.06",
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=85_520_809_984, free=84_000_000_000, used=1),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetMigMode": [0, 0],
        }
    )
    NVMLError = NVMLError

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if name in self.refuse:
                raise NVMLError(self.refuse[name])
            return self.answers[name]

        if name not in self.answers:
            raise AttributeError(name)
        return call


def test_two_h100() -> None:
    found = nvidia_gpus(FakeNvml(), driver_loaded=True)
    expected = Gpu(
        index=1,
        name="NVIDIA H100 80GB HBM3",
        vendor="nvidia",
        memory_bytes=85_520_809_984,
        free_bytes=84_000_000_000,
        compute_capability="9.0",
        driver_version="580.65.06",
        power_limit_watts=700.0,
    )
    assert [gpu.index for gpu in found.gpus] == [0, 1]
    assert found.gpus[1] == expected
    assert found.cuda_driver_version == "13.1"
    assert found.notes == ()


def test_unified_memory_is_unknown_and_said() -> None:
    refuse = {"nvmlDeviceGetMemoryInfo": NOT_SUPPORTED, "nvmlDeviceGetEnforcedPowerLimit": NOT_SUPPORTED}
    nvml = FakeNvml(refuse=refuse | {"nvmlDeviceGetMigMode": NOT_SUPPORTED})
    nvml.answers |= {"nvmlDeviceGetCount": 1, "nvmlDeviceGetName": b"NVIDIA GB10"}
    found = nvidia_gpus(nvml, driver_loaded=True)
    (gpu,) = found.gpus
    assert (gpu.name, gpu.memory_bytes, gpu.free_bytes, gpu.power_limit_watts) == ("NVIDIA GB10", None, None, None)
    assert gpu.compute_capability == "9.0"
    assert len(found.notes) == 1
    assert "shares the CPU's" in found.notes[0]


def test_mig_is_said() -> None:
    nvml = FakeNvml()
    nvml.answers |= {"nvmlDeviceGetMigMode": [1, 1], "nvmlDeviceGetCount": 1}
    assert "split by MIG" in nvidia_gpus(nvml, driver_loaded=True).notes[0]


def test_a_failure_that_is_not_for_want_of_support_is_noted() -> None:
    found = nvidia_gpus(FakeNvml(refuse={"nvmlDeviceGetCudaComputeCapability": UNKNOWN}), driver_loaded=True)
    assert [gpu.compute_capability for gpu in found.gpus] == [None, None]
    assert found.notes[0] == "NVML does not tell the compute capability of GPU 0: Unknown Error."


@pytest.mark.parametrize("code", [NOT_SUPPORTED, UNKNOWN])
def test_every_call_fails(code: int) -> None:
    calls = [name for name in FakeNvml().answers if name not in ("nvmlInit", "nvmlDeviceGetCount")]
    found = nvidia_gpus(FakeNvml(refuse=dict.fromkeys(calls, code)), driver_loaded=True)
    assert found.gpus == ()
    assert found.cuda_driver_version is None
    assert bool(found.notes) == (code == UNKNOWN)
    handles = [name for name in calls if name != "nvmlDeviceGetHandleByIndex"]
    nameless = nvidia_gpus(FakeNvml(refuse=dict.fromkeys(handles, code)), driver_loaded=True)
    assert [gpu.name for gpu in nameless.gpus] == ["unknown NVIDIA GPU"] * 2


@pytest.mark.parametrize(
    ("code", "driver_loaded", "noted"),
    [
        (12, False, False),
        (9, False, False),
        (12, True, True),
        (9, True, True),
        (18, False, True),
        (UNKNOWN, True, True),
    ],
)
def test_nvml_does_not_start(code: int, driver_loaded: bool, noted: bool) -> None:
    found = nvidia_gpus(FakeNvml(refuse={"nvmlInit": code}), driver_loaded=driver_loaded)
    assert found.gpus == ()
    assert bool(found.notes) == noted


def test_without_pynvml_only_a_loaded_driver_is_noted() -> None:
    assert nvidia_gpus(None, driver_loaded=False) == FoundGpus()
    assert "nvidia-ml-py is not installed" in nvidia_gpus(None, driver_loaded=True).notes[0]


def _card(root: Path, number: int, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / f"sys/class/drm/card{number}/device" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


MI300X = {
    "vendor": "0x1002",
    "device": "0x74a1",
    "product_name": "AMD Instinct MI300X OAM",
    "mem_info_vram_total": "206141652992",
    "mem_info_vram_used": "297418752",
    "hwmon/hwmon4/power1_cap": "750000000",
}


def test_amd_from_sysfs(tmp_path: Path) -> None:
    _card(tmp_path, 0, {"vendor": "0x1a03"})  # the server's own display chip
    _card(tmp_path, 10, {"vendor": "0x1002", "device": "0x744c"})
    _card(tmp_path, 2, MI300X)
    (tmp_path / "sys/class/drm/card2-DP-1").mkdir()
    found = amd_gpus(tmp_path / "sys/class/drm", driver_version="6.14.14")
    assert found[0] == Gpu(
        index=0,
        name="AMD Instinct MI300X OAM",
        vendor="amd",
        memory_bytes=206_141_652_992,
        free_bytes=206_141_652_992 - 297_418_752,
        compute_capability=None,
        driver_version="6.14.14",
        power_limit_watts=750.0,
    )
    assert (found[1].index, found[1].name, found[1].memory_bytes) == (1, "AMD GPU 0x744c", None)
    assert len(found) == 2


def test_both_vendors_in_one_machine(tmp_path: Path) -> None:
    _card(tmp_path, 0, MI300X)
    found = detect_gpus(tmp_path, FakeNvml())
    assert [gpu.vendor for gpu in found.gpus] == ["nvidia", "nvidia", "amd"]
    assert found.cuda_driver_version == "13.1"


def test_apple_by_the_processors_name() -> None:
    assert [(gpu.name, gpu.memory_bytes) for gpu in apple_gpus("Apple M2 Max")] == [("Apple M2 Max", None)]
    assert apple_gpus("Intel(R) Core(TM) i9-9880H CPU @ 2.30GHz") == ()


@pytest.mark.gpu
def test_the_gpus_of_this_machine() -> None:
    import torch

    found = detect_gpus()
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.version.hip:
        assert len(found.gpus) >= len(names)
    else:
        assert set(names) <= {gpu.name for gpu in found.gpus}
        assert found.cuda_driver_version is not None
