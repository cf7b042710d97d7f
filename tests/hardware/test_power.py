"""Meters from recorded machines and counters that one can do sums with."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rooflight.core.types import GpuState
from rooflight.hardware import power
from rooflight.hardware.detect import detect
from rooflight.hardware.power import CounterMeter, Plausible, SampledMeter, cpu_meter, gpu_meter, open_meter
from rooflight.hardware.rapl import cpu_state, rapl_zones
from tests.hardware.fakes import FakeNvml, NVMLError, found_in_files, found_nvidia, load, machine
from tests.hardware.test_gpus import smi


def test_nvml_counts_millijoules() -> None:
    nvml = FakeNvml(load("h100_sxm5"))
    meter, what = gpu_meter(found_nvidia("h100_sxm5").gpus[0], nvml=nvml)
    assert meter is not None
    assert what == meter.name == "NVML's energy counter"
    before = meter.joules()
    nvml.gpus[0]["energy_millijoules"] += 350_000
    assert before is not None
    assert (meter.joules() or 0) - before == pytest.approx(350.0)
    assert meter.state().power_watts == pytest.approx(87.61)
    meter.close()
    assert nvml.open == 0


def test_before_volta_power_is_sampled_and_summed() -> None:
    nvml = FakeNvml(load("gtx_1080_ti"))
    nvml.gpus[0]["average_watts"] = 200
    meter, what = gpu_meter(found_nvidia("gtx_1080_ti").gpus[0], nvml=nvml)
    assert meter is not None
    assert what == "NVML's power, 20 samples a second"
    start, before = time.monotonic(), meter.joules()
    time.sleep(0.3)
    after, seconds = meter.joules(), time.monotonic() - start
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(200 * seconds, rel=0.1)
    meter.close()
    assert nvml.open == 0


def test_a_ramp_is_summed_as_a_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(power, "time", SimpleNamespace(monotonic=lambda: now))
    meter = SampledMeter("ramp", lambda: GpuState(power_watts=10 * now), seconds=1000)  # its thread sleeps through this

    def at(moment: float) -> float | None:
        nonlocal now
        now = moment
        return meter.joules()

    assert [at(2.0), at(3.0), at(7.0)] == [20.0, 45.0, 245.0]  # the area under the ramp: 10 t² / 2
    meter.close()


def test_a_reading_that_fails_leaves_the_sampling_thread_alive() -> None:
    readings = iter([GpuState(power_watts=100.0), RuntimeError("the GPU fell off the bus")])

    def state() -> GpuState:
        reading = next(readings, GpuState(power_watts=100.0))
        if isinstance(reading, RuntimeError):
            raise reading
        return reading

    meter = SampledMeter("shaky", state, seconds=0.01)
    time.sleep(0.2)
    assert (meter.joules() or 0) > 5.0
    meter.close()


def test_a_gpu_that_tells_nothing_has_a_state_and_no_joules() -> None:
    nvml = FakeNvml(load("jetson_orin"))
    (gpu,) = found_nvidia("jetson_orin").gpus
    meter, why = gpu_meter(gpu, nvml=nvml)
    assert meter is not None
    assert meter.joules() is None
    assert why == "the driver tells neither energy nor power"
    meter.close()
    assert nvml.open == 0


def test_a_gpu_that_is_lost_has_no_meter() -> None:
    def lost(function: str, place: int | None) -> Exception | None:
        return NVMLError(15) if function.startswith("nvmlDeviceGetHandle") else None

    nvml = FakeNvml(load("h100_sxm5"), lost)
    meter, why = gpu_meter(found_nvidia("h100_sxm5").gpus[0], nvml=nvml)
    assert meter is None
    assert "GPU is lost" in why
    assert nvml.open == 0


def test_a_counter_that_stops_answering_is_none_and_no_error() -> None:
    nvml = FakeNvml(load("h100_sxm5"))
    meter, _ = gpu_meter(found_nvidia("h100_sxm5").gpus[0], nvml=nvml)
    assert meter is not None
    nvml.gpus[0]["lost"] = True
    assert meter.joules() is None
    assert meter.state() == GpuState()


def test_intel_counts_in_the_kernels_files(tmp_path: Path) -> None:
    card = found_in_files("arc_b580", tmp_path).gpus[1]
    meter, what = gpu_meter(card, root=tmp_path)
    assert meter is not None
    assert what == "the kernel's energy counter"
    assert meter.joules() == pytest.approx(1400.223441)
    assert meter.state().temperature_celsius == 44.0


def test_amd_is_sampled_where_amdsmi_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    meter, what = gpu_meter(found_in_files("rx_7900_xtx", tmp_path).gpus[0], root=tmp_path)
    assert meter is not None
    assert what == "amdgpu's power, 20 samples a second"
    time.sleep(0.15)
    assert 0 < (meter.joules() or 0) < 23 * 5
    meter.close()


class Energy(dict[str, float]):
    """An answer of amdsmi whose counter runs with the clock: `watts` are what it claims."""

    def __init__(self, watts: float) -> None:
        super().__init__(counter_resolution=15.3, energy_accumulator=0.0)
        self.watts, self.start = watts, time.monotonic()

    def __getitem__(self, key: str) -> float:
        if key == "energy_accumulator":
            return self.watts * (time.monotonic() - self.start) / 15.3e-6
        return super().__getitem__(key)


@pytest.mark.parametrize(("watts", "believed"), [(200.0, True), (20_000.0, False), (-50.0, False)])
def test_amdsmis_counter_is_believed_only_while_it_is_possible(
    watts: float, believed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = found_in_files("rx_7900_xtx", tmp_path).gpus[0]
    fake = smi(device_bdf="0000:09:00.0", asic_info={}, device_uuid="", energy=Energy(watts))
    monkeypatch.setitem(sys.modules, "amdsmi", fake)
    meter, what = gpu_meter(gpu, root=tmp_path)
    assert meter is not None
    assert (what == "amdsmi's energy counter") == believed
    if believed:
        before = meter.joules() or 0.0
        time.sleep(0.1)
        assert (meter.joules() or 0.0) - before == pytest.approx(20.0, rel=0.2)
    meter.close()


def test_a_counter_that_goes_wrong_later_is_not_believed_again() -> None:
    counts = iter([0.0, 1.0, 1e9, 1e9 + 1])
    counter = Plausible(lambda: next(counts), most_watts=500)
    assert counter() == 1.0
    assert counter() is None
    assert counter() is None


def test_a_gpu_that_the_kernel_has_no_files_of(tmp_path: Path) -> None:
    gpu = found_in_files("mi300x", tmp_path).gpus[0]  # without /sys/bus/pci
    assert gpu_meter(gpu, root=tmp_path / "elsewhere") == (None, f"{gpu.name}: the kernel has no files about it")


# ---------------------------------------------------------------- the processor


def package(root: Path, number: int, microjoules: int, name: str | None = None, driver: str = "intel-rapl") -> Path:
    """One RAPL zone that is full at 1,000 J."""
    zone = root / f"sys/class/powercap/{driver}:{number}"
    zone.mkdir(parents=True)
    for file, text in (
        ("name", name or f"package-{number}"),
        ("energy_uj", microjoules),
        ("max_energy_range_uj", 10**9),
    ):
        (zone / file).write_text(f"{text}\n")
    return zone / "energy_uj"


def test_two_packages_add_up_and_one_starts_again(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 999_000_000), package(tmp_path, 1, 5_000_000)
    package(tmp_path, 2, 77_000_000, name="psys")  # the whole board: it would count the packages twice
    package(tmp_path, 0, 999_000_000, driver="intel-rapl-mmio")  # the first package once more, by another way
    meter, what = cpu_meter(tmp_path)
    assert what == "RAPL, 2 processor packages"
    before = meter.joules()
    first.write_text("3000000\n")  # full at 1,000 J, then 3 J more
    second.write_text("7000000\n")
    assert before == pytest.approx(1004.0)
    assert (meter.joules() or 0) - before == pytest.approx(4 + 2)
    first.write_text("2000000\n")  # full once more
    assert (meter.joules() or 0) - before == pytest.approx(4 + 2 + 999)
    first.unlink()
    assert meter.joules() is None


def test_a_counter_for_root_alone_says_what_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    energy = package(tmp_path, 0, 1)
    plain = Path.read_text

    def refuse(path: Path, **how: str) -> str:
        if path == energy:
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, **how)

    monkeypatch.setattr(Path, "read_text", refuse)  # root, as which tests may run, is never refused
    meter, why = cpu_meter(tmp_path)
    assert meter.joules() is None
    assert "for root alone" in why
    assert str(energy) in why


def test_a_machine_without_counters(tmp_path: Path) -> None:
    assert rapl_zones(tmp_path) == (
        [],
        "the kernel has no energy counter of this processor (RAPL), as in a virtual machine",
    )
    package(tmp_path, 0, 1).write_text("garbage\n")
    assert "cannot be read" in rapl_zones(tmp_path)[1]


def test_the_state_of_this_processor() -> None:
    cpu_state()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    state = cpu_state()
    assert 0 < (state.busy or 0) <= 1
    assert (state.free_bytes or 0) > 0


# ---------------------------------------------------------------- by the framework's name of a device


def test_a_meter_by_the_frameworks_device(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    here = machine(*found_nvidia("h100_sxm5").gpus)
    nvml = FakeNvml(load("h100_sxm5"))
    assert open_meter(here, "cuda", 0, nvml=nvml)[1] == "NVML's energy counter"
    assert open_meter(here, "cuda", 1, nvml=nvml) == (None, "the driver has no GPU that is cuda:1")
    assert open_meter(here, "xpu", 0, nvml=nvml) == (None, "no driver tells of a GPU for xpu")
    meter, _ = open_meter(here, "cpu")
    assert isinstance(meter, CounterMeter)


def test_no_meter_without_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "pynvml_or_none", lambda: None)
    assert gpu_meter(found_nvidia("h100_sxm5").gpus[0]) == (None, "nvidia-ml-py is not installed")


@pytest.mark.gpu
def test_energy_and_power_of_a_real_gpu_agree() -> None:
    import torch

    meter, why = open_meter(detect(), "cuda", 0)
    assert meter is not None, why
    x = torch.randn(4096, 4096, device="cuda")
    before, start, watts = meter.joules(), time.monotonic(), []
    while time.monotonic() - start < 5:
        for _ in range(20):
            x @ x
        torch.cuda.synchronize()
        watts.append(meter.state().power_watts or 0.0)
    joules, seconds = (meter.joules() or 0) - (before or 0), time.monotonic() - start
    meter.close()
    assert joules == pytest.approx(seconds * sum(watts) / len(watts), rel=0.1)
