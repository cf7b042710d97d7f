"""What `info` says of machines that are not here, and how it watches."""

import dataclasses
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.tables import display_width, text
from rooflight.core.types import Framework, Gpu, GpuSpec, GpuState, Machine, Rate
from rooflight.flows.info import info
from rooflight.flows.watch import Sample, Watched, watch
from tests.hardware.fakes import NVIDIA_MACHINES, FakeNvml, found_nvidia, load, machine

TORCH = Framework(
    name="torch",
    version="2.14.1",
    cuda_version="13.0",
    cudnn_version="9.24.0",
    devices=("NVIDIA H100 80GB HBM3",),
    targets=("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
    tf32=False,
)
H100 = GpuSpec(
    name="H100 SXM5 80GB",
    memory_bytes=80 << 30,
    bytes_per_second=3.35e12,
    flops_per_second={"float32": 67e12, "tfloat32": 495e12, "bfloat16": 989e12},
    rates=(
        Rate(engine="vector", dtype="float32", accumulate="float32", flops_per_second=67e12),
        Rate(engine="matrix", dtype="tfloat32", accumulate="float32", flops_per_second=495e12),
        Rate(engine="matrix", dtype="bfloat16", accumulate="float32", flops_per_second=989e12),
        Rate(engine="matrix", dtype="bfloat16", accumulate="bfloat16", flops_per_second=989e12),
    ),
    matrix_engine="Tensor Cores, 4th generation",
    source="made up",
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Sets what is detected; no package is asked."""
    monkeypatch.setattr("rooflight.hardware.probe.probe", lambda frameworks, say: frameworks)
    return monkeypatch


def on(here: pytest.MonkeyPatch, found: Machine) -> None:
    here.setattr("rooflight.hardware.detect.detect", lambda: found)


def test_a_gpu_with_its_catalogue_entry(here: pytest.MonkeyPatch) -> None:
    on(here, machine(*found_nvidia("h100_sxm5").gpus, frameworks=[TORCH], cuda="13.0"))
    report = info(resolve=lambda gpu: H100)
    assert isinstance(report.answer, Machine)
    (gpu,) = report.answer.gpus
    assert (gpu.spec, gpu.matrix_engine) == ("H100 SXM5 80GB", "Tensor Cores, 4th generation")
    assert gpu.matrix_dtypes == ("tfloat32", "bfloat16")  # each once; what the vector engine does is not sped up
    assert [each.about for each in report.answer.advice] == ["GPU 0"]
    assert from_json(Machine, to_json(report.answer)) == report.answer
    shown = text(report)
    for line in (
        "GPU 0          NVIDIA H100 80GB HBM3",
        "chip           compute capability 9.0, 132 SMs",
        "matrix engine  Tensor Cores, 4th generation: tfloat32, bfloat16",
        "memory         79.6 GiB, 79.6 GiB free, ECC on",
        "power          88 W now, limit 700 W (default 700 W)",
        "clock          345 MHz now, up to 1.98 GHz, memory 2.62 GHz",
        "state          28 °C, 0.0 % busy, not throttled",
        "links          PCIe 5.0 x16; 18 NVLink links up",
        "MIG            off",
        "1 of 1 GPU  yes",
        "TF32 is off",
        "→ If 10 bits of mantissa are enough",
    ):
        assert line in shown, line


def test_the_catalogue_is_asked_with_what_tells_variants_apart(here: pytest.MonkeyPatch) -> None:
    gpus = (*found_nvidia("rtx_4090").gpus, *found_nvidia("jetson_orin").gpus)
    on(here, machine(*gpus, frameworks=[TORCH]))
    asked: list[tuple[object, ...]] = []
    catalogue = ModuleType("rooflight.catalogue.resolve")
    catalogue.resolve = lambda name, *, memory_bytes, units: asked.append((name, memory_bytes, units))  # type: ignore[attr-defined]
    here.setitem(sys.modules, "rooflight.catalogue", ModuleType("rooflight.catalogue"))
    here.setitem(sys.modules, "rooflight.catalogue.resolve", catalogue)
    report = info()
    # A Jetson's memory is the CPU's, and is all that tells its modules apart.
    assert asked == [("NVIDIA GeForce RTX 4090", 24564 << 20, 128), ("Orin (nvgpu)", 64 << 30, None)]
    assert "unknown to it" in text(report)


@pytest.mark.parametrize("name", [name for name in NVIDIA_MACHINES if name != "half_failing"])
def test_every_recorded_gpu_is_in_the_catalogue(name: str, here: pytest.MonkeyPatch) -> None:
    on(here, machine(*found_nvidia(name).gpus, frameworks=[TORCH]))
    answer = info().answer
    assert isinstance(answer, Machine)
    for gpu in answer.gpus:
        assert gpu.spec is not None
        assert bool(gpu.matrix_dtypes) == (gpu.matrix_engine != "none")
    if name in ("gtx_1660", "gtx_1080_ti"):
        assert answer.gpus[0].matrix_engine == "none"
        assert "no matrix engine" in " ".join(each.problem for each in answer.advice)


def test_an_idle_narrow_link_reads_as_one(here: pytest.MonkeyPatch) -> None:
    on(here, machine(*found_nvidia("rtx_3090").gpus, frameworks=[TORCH]))
    assert "PCIe 1.0 x4 now, 3.0 x16 possible, lower when idle; no NVLink link up" in text(
        info(resolve=lambda gpu: None)
    )


def test_unified_memory_reads_as_the_cpus(here: pytest.MonkeyPatch) -> None:
    on(here, machine(*found_nvidia("gb10").gpus, frameworks=[TORCH]))
    assert "the CPU's (64.0 GiB)" in text(info(resolve=lambda gpu: None))


def test_kernels_by_gpu_where_they_differ(here: pytest.MonkeyPatch) -> None:
    gpus = (found_nvidia("t4").gpus[0], dataclasses.replace(found_nvidia("v100_sxm2").gpus[0], index=1))
    on(here, machine(*gpus, frameworks=[TORCH]))
    assert "0: yes, 1: no" in text(info(resolve=lambda gpu: None))


def test_a_package_that_fails_points_to_the_advice(here: pytest.MonkeyPatch) -> None:
    failed = dataclasses.replace(TORCH, devices=None, error="killed by SIGSEGV: it said nothing")
    on(
        here,
        machine(
            frameworks=[failed, Framework(name="keras", version="3.1", cuda_version=None, backend="jax", devices=())]
        ),
    )
    shown = text(info())
    assert "failed: see advice" in shown
    assert "torch 2.14.1 could not be asked: killed by SIGSEGV" in shown
    assert "on jax" in shown
    assert "No GPU was found" in shown


@pytest.mark.parametrize("name", NVIDIA_MACHINES)
def test_every_machine_fits_100_columns(name: str, here: pytest.MonkeyPatch) -> None:
    on(
        here,
        machine(
            *found_nvidia(name).gpus, frameworks=[dataclasses.replace(TORCH, devices=("NVIDIA GPU",))], cuda="11.4"
        ),
    )
    lines = text(info(resolve=lambda gpu: H100)).splitlines()
    assert max(map(display_width, lines)) <= 100, max(lines, key=display_width)


def test_what_a_package_sees_is_counted_against_what_there_is(here: pytest.MonkeyPatch) -> None:
    gpu = found_nvidia("h100_sxm5").gpus[0]
    several = [dataclasses.replace(gpu, index=place) for place in range(8)]
    onnx = Framework(
        name="onnxruntime",
        version="1.22",
        cuda_version=None,
        devices=("TensorrtExecutionProvider", "CUDAExecutionProvider"),
    )
    openvino = Framework(
        name="openvino", version="2025.3", cuda_version=None, devices=("GPU: Intel(R) Arc(TM) B580 Graphics",)
    )
    seven = dataclasses.replace(TORCH, devices=(gpu.name,) * 7)
    on(here, machine(*several, frameworks=[seven, onnx, openvino]))
    shown = text(info(resolve=lambda gpu: None))
    for words in ("7 of 8 GPUs", "Tensorrt, CUDA", "  GPU\n"):
        assert words in shown
    assert shown.count("TF32 is off") == 1  # said once for all eight
    assert "GPUs 0, 1, 2, 3, 4, 5, 6, 7" in shown


def test_this_machine_fits_100_columns() -> None:
    lines = text(info(quick=True)).splitlines()
    assert max(map(display_width, lines)) <= 100, max(lines, key=display_width)


def test_quick_asks_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object, **how: object) -> None:
        raise AssertionError("a package was asked")

    monkeypatch.setattr("rooflight.hardware.probe.probe", never)
    report = info(quick=True)
    assert isinstance(report.answer, Machine)
    assert all(each.devices is None for each in report.answer.frameworks)
    assert "sees" not in text(report)


# ---------------------------------------------------------------- watching


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, FakeNvml]:
    nvml = FakeNvml(load("two_mixed"))
    monkeypatch.setattr("rooflight.hardware.power.pynvml_or_none", lambda: nvml)
    return machine(*found_nvidia("two_mixed").gpus), nvml


def test_watching_reads_every_gpu_and_the_processor(two_gpus: tuple[Machine, FakeNvml]) -> None:
    watched_machine, nvml = two_gpus
    seen: list[Sample] = []

    def show(sample: Sample) -> None:
        seen.append(sample)
        nvml.gpus[0] |= {"instant_watts": 301.0, "celsius": 83, "throttle": 0x4}

    report = watch(show, interval=0.05, samples=3, machine=watched_machine)
    assert [[device.name for device in sample.devices] for sample in seen] == [
        ["GPU 0: NVIDIA GeForce RTX 3090", "GPU 1: NVIDIA RTX A5000", "CPU"]
    ] * 3
    assert [sample.devices[0].state.power_watts for sample in seen] == [201.4, 301.0, 301.0]
    assert isinstance(report.answer, Watched)
    first, second, _ = report.answer.devices
    assert (first.max_watts, first.max_celsius) == (301.0, 83)
    assert first.mean_watts == pytest.approx((201.4 + 301 + 301) / 3)
    assert first.throttled_by == ("heat", "heat (hardware slowdown)", "power cap")
    assert (second.mean_busy, second.mean_clock_hz) == (0.91, 1.89e9)
    assert "3 samples in" in text(report)
    assert nvml.open == 0


def test_a_meter_that_fails_is_a_note_and_the_summary_is_kept(
    two_gpus: tuple[Machine, FakeNvml], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rooflight.hardware import power

    watched_machine, _ = two_gpus
    good = power.gpu_meter

    def half_broken(gpu: Gpu) -> tuple[power.Meter | None, str]:
        def fails() -> GpuState:
            raise RuntimeError("the GPU fell off the bus")

        return (power.CounterMeter("broken", lambda: None, fails), "") if gpu.index == 0 else good(gpu)

    monkeypatch.setattr(power, "gpu_meter", half_broken)
    report = watch(lambda sample: None, interval=0.05, samples=2, machine=watched_machine)
    assert isinstance(report.answer, Watched)
    first, second, _ = report.answer.devices
    assert first.max_watts is None
    assert second.mean_busy == 0.91
    assert "GPU 0: NVIDIA GeForce RTX 3090 could not always be read: the GPU fell off the bus." in report.notes


def test_stopping_is_the_ordinary_end(two_gpus: tuple[Machine, FakeNvml]) -> None:
    watched_machine, nvml = two_gpus
    seen: list[Sample] = []

    def show(sample: Sample) -> None:
        seen.append(sample)
        if len(seen) == 2:
            raise KeyboardInterrupt

    report = watch(show, interval=0.05, machine=watched_machine)
    assert report.exit_code == 0
    assert isinstance(report.answer, Watched)
    assert report.answer.samples == 2
    assert nvml.open == 0


def test_power_comes_from_energy_where_no_power_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from rooflight.hardware.power import CounterMeter

    meter = CounterMeter("counter", lambda: 40.0 * time.monotonic(), lambda: GpuState(busy=0.5))
    monkeypatch.setattr("rooflight.hardware.power.cpu_meter", lambda: (meter, ""))
    seen: list[Sample] = []
    watch(seen.append, interval=0.05, samples=2, machine=machine())
    assert [sample.devices[0].state.power_watts for sample in seen] == pytest.approx([40.0, 40.0], rel=1e-3)


@pytest.mark.parametrize(
    ("interval", "samples", "words"),
    [
        (0.0, 1, "--interval 0"),
        (1e300, 1, "1e\\+300"),
        (float("inf"), 1, "inf"),
        (float("nan"), 1, "nan"),
        (1.0, 0, "--samples 0"),
    ],
)
def test_what_no_driver_keeps_up_with(interval: float, samples: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        watch(lambda sample: None, interval=interval, samples=samples)


def test_a_gpu_without_a_meter_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu: Gpu = dataclasses.replace(found_nvidia("t4").gpus[0], vendor="apple")
    seen: list[Sample] = []
    watch(seen.append, interval=0.05, samples=1, machine=machine(gpu))
    assert [device.name for device in seen[0].devices] == ["CPU"]
