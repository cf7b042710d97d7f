"""NVIDIA's GPUs from recorded machines, and from drivers that fail."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflight.core.codec import from_json, to_json
from rooflight.core.types import Gpu, PcieLink
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.gpus import detect_gpus
from rooflight.hardware.nvidia import THROTTLE_REASONS, nvidia_gpus
from tests.hardware.fakes import ANSWERS, NVIDIA_MACHINES, FakeNvml, NVMLError, found_nvidia, load

# Machine → what must come out of it. Figures that the file holds as they are need no second writing here.
EXPECTED: dict[str, dict[str, Any]] = {
    "gtx_1080_ti": {"units": None, "power_limit_watts": 250.0, "nvlinks": None, "mig": None, "ecc": None},
    "gtx_1660": {"units": 22, "memory_bytes": 6144 << 20, "free_bytes": (6144 - 2079) << 20, "mig": None},
    "v100_sxm2": {"units": 80, "nvlinks": 6, "ecc": True, "mig": None},
    "t4": {"units": 40, "pcie": PcieLink(generation=3, lanes=8, max_generation=3, max_lanes=16)},
    "a100_sxm4": {"units": 108, "nvlinks": 12, "mig": (), "ecc": True},
    "a100_mig": {"units": 108, "mig": ("NVIDIA A100-SXM4-80GB MIG 3g.40gb",)},
    "rtx_3090": {"units": 82, "nvlinks": 0, "power_limit_watts": 300.0, "default_power_limit_watts": 420.0},
    "rtx_4090": {"units": 128, "nvlinks": None, "ecc": False, "max_core_clock_hz": 3.105e9},
    "h100_sxm5": {"units": 132, "nvlinks": 18, "mig": (), "max_core_clock_hz": 1.98e9},
    "h100_pcie": {"units": 114, "nvlinks": 0, "power_limit_watts": 350.0},
    "h200": {"units": 132, "memory_bytes": 143771 << 20},
    "b200": {"units": 148, "target": "10.0", "power_limit_watts": 1000.0},
    "jetson_orin": {"units": None, "memory_bytes": None, "unified_memory": True, "uuid": None, "pcie": None},
    "gb10": {"units": 48, "memory_bytes": None, "unified_memory": True, "power_limit_watts": None},
    "two_mixed": {"units": 82, "ecc": None},
    "half_failing": {"units": 58, "unified_memory": False},
}
THROTTLED = {
    "t4": ("power cap", "heat"),
    "v100_sxm2": ("power cap",),
    "two_mixed": ("heat", "heat (hardware slowdown)"),
    "rtx_4090": (),
    "h100_sxm5": (),  # idle is no throttling
    "jetson_orin": None,
}
WATTS = {"gtx_1080_ti": 11.95, "v100_sxm2": 287.3, "rtx_4090": 437.92, "gb10": 4.1, "jetson_orin": None}


@pytest.mark.parametrize("name", NVIDIA_MACHINES)
def test_a_recorded_machine(name: str) -> None:
    record, found = load(name), found_nvidia(name)
    gpu, first = found.gpus[0], record["gpu"][0]
    assert (gpu.index, gpu.name, gpu.vendor) == (0, first["name"], "nvidia")
    assert gpu.compute_capability == gpu.target == ".".join(map(str, first["capability"]))
    assert (gpu.uuid, gpu.pci_address) == (first.get("uuid"), first.get("bus"))
    assert gpu.driver_version == record["driver"]
    cuda = record.get("cuda")
    assert found.cuda_driver_version == (f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None)
    for field, expected in EXPECTED[name].items():
        assert getattr(gpu, field) == expected, field


def test_every_machine_is_expected() -> None:
    assert set(NVIDIA_MACHINES) == set(EXPECTED)


@pytest.mark.parametrize(("name", "reasons"), THROTTLED.items())
def test_what_holds_the_clocks_down(name: str, reasons: tuple[str, ...] | None) -> None:
    state = found_nvidia(name).gpus[0].state
    assert state is not None
    assert state.throttled_by == reasons


@pytest.mark.parametrize(("name", "watts"), WATTS.items())
def test_power_is_the_instantaneous_where_the_driver_tells_it(name: str, watts: float | None) -> None:
    state = found_nvidia(name).gpus[0].state
    assert state is not None
    assert state.power_watts == (None if watts is None else pytest.approx(watts, abs=0.001))


def test_the_general_slowdown_is_named_only_alone() -> None:
    record = load("t4")
    for bits, words in (
        (0x08, ("hardware slowdown",)),
        (0x48, ("heat (hardware slowdown)",)),
        (0x88, ("power brake",)),
    ):
        record["gpu"][0]["throttle"] = bits
        state = nvidia_gpus(FakeNvml(record), driver_loaded=True).gpus[0].state
        assert state is not None
        assert state.throttled_by == words
    assert 0x01 not in THROTTLE_REASONS


def test_nothing_is_noted_where_a_device_just_lacks_something() -> None:
    for name in NVIDIA_MACHINES:
        if name != "half_failing":
            assert found_nvidia(name).notes == (), name


def test_a_lost_gpu_and_a_broken_one_do_not_hide_the_others() -> None:
    found = found_nvidia("half_failing")
    assert [gpu.index for gpu in found.gpus] == [0, 1, 2]
    good, lost, broken = found.gpus
    assert good.units == 58
    assert (lost.name, lost.memory_bytes, lost.units, lost.unified_memory) == ("unknown NVIDIA GPU", None, None, False)
    assert broken.memory_bytes == good.memory_bytes
    assert broken.state is not None
    assert broken.state.temperature_celsius is None
    assert len(found.notes) == 2  # one line per GPU and reason, not one per question
    assert found.notes[0].startswith("GPU 1: the driver does not tell the memory, the compute capability,")
    assert found.notes[0].endswith("(GPU is lost).")
    assert found.notes[1] == (
        "GPU 2: the driver does not tell the clock, the memory clock, the power and the temperature (Unknown Error)."
    )


# The failures of drivers: codes of every kind, and exceptions that are none of NVML's.
FAILURES = st.sampled_from(
    [NVMLError(code) for code in (1, 2, 3, 4, 6, 10, 13, 15, 16, 17, 25, 999)]
    + [OSError("libnvidia-ml.so.1: cannot open"), ValueError("odd answer"), AttributeError("no such function")]
)
DEVICE_CALLS = sorted(name for name in ANSWERS if name.startswith("nvmlDevice") and name != "nvmlDeviceGetCount")


@settings(max_examples=200, deadline=None)
@given(failures=st.dictionaries(st.sampled_from(DEVICE_CALLS), FAILURES), bad=st.integers(0, 2))
def test_one_bad_gpu_never_hides_the_others(failures: dict[str, Exception], bad: int) -> None:
    """Whatever subset of calls fails for one GPU, in whatever way: the other two are told in full."""
    record = load("h100_sxm5")
    same = {"average_watts": 88, "instant_watts": 88}  # or the power would depend on which question is refused
    record["gpu"] = [record["gpu"][0] | same | {"uuid": f"GPU-{place}"} for place in range(3)]
    # The handle is asked for by its number, before there is a GPU to tell by.
    asked: list[int] = []

    def fail(function: str, place: int | None) -> Exception | None:
        if function == "nvmlDeviceGetHandleByIndex":
            asked.append(len(asked))
            return failures.get(function) if asked[-1] == bad else None
        return failures.get(function) if place == bad else None

    whole = nvidia_gpus(FakeNvml(record), driver_loaded=True).gpus
    found = nvidia_gpus(FakeNvml(record, fail), driver_loaded=True)
    by_index = {gpu.index: gpu for gpu in found.gpus}
    for place in {0, 1, 2} - {bad}:
        assert by_index[place] == whole[place]
    if "nvmlDeviceGetHandleByIndex" in failures:
        assert bad not in by_index
        assert found.notes
    else:
        assert_only_refused_fields_differ(by_index[bad], whole[bad])


def assert_only_refused_fields_differ(gpu: Gpu, whole: Gpu) -> None:
    """A field is as it should be, or unknown; never something else."""
    for field in dataclasses.fields(Gpu):
        value, full = getattr(gpu, field.name), getattr(whole, field.name)
        unknown = {"name": "unknown NVIDIA GPU", "unified_memory": False}.get(field.name)
        if field.name in ("pcie", "state") and value is not None:
            for part in dataclasses.fields(value):
                assert getattr(value, part.name) in (None, getattr(full, part.name)), part.name
        else:
            assert value in (unknown, full), field.name


# Answers of a broken driver, or of a pynvml that is another one: nothing, of the wrong type, impossible, the end.
ODD = [None, "lots", b"\xff", -1, float("nan"), float("inf"), 1e300, 1 << 70, [], [None], object(), True, SystemExit(3)]


class OddNvml:
    """Tells the truth, but for one function about the second GPU (or the system) that answers oddly."""

    def __init__(self, record: dict[str, Any], function: str, odd: Any) -> None:
        self.truth, self.function, self.odd = FakeNvml(record), function, odd

    def __getattr__(self, function: str) -> Any:
        def call(*arguments: Any) -> Any:
            second = not arguments or arguments[0] in (1, self.truth.gpus[1])
            if function != self.function or not second:
                return getattr(self.truth, function)(*arguments)
            if isinstance(self.odd, BaseException):
                raise self.odd
            return self.odd

        return call


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("function", sorted(ANSWERS))
def test_an_odd_answer_costs_one_figure_and_hides_no_gpu(function: str, odd: Any) -> None:
    record = load("two_mixed")
    truth = nvidia_gpus(FakeNvml(record), driver_loaded=True).gpus
    found = nvidia_gpus(OddNvml(record, function, odd), driver_loaded=True)
    if function not in ("nvmlInit", "nvmlDeviceGetCount", "nvmlSystemGetDriverVersion"):
        assert found.gpus[0] == truth[0]
    to_json(found)  # nothing in it that JSON, which has no NaN, cannot hold
    for gpu in found.gpus:
        assert from_json(Gpu, to_json(gpu)) == gpu  # every field is of its type


def test_an_odd_answer_is_noted() -> None:
    found = nvidia_gpus(OddNvml(load("two_mixed"), "nvmlDeviceGetMemoryInfo", "lots"), driver_loaded=True)
    assert found.gpus[1].memory_bytes is None
    assert found.notes == ("GPU 1: the driver does not tell the memory (odd answer 'lots').",)


def test_a_driver_that_ends_the_program_is_noted() -> None:
    found = nvidia_gpus(OddNvml(load("two_mixed"), "nvmlInit", SystemExit(3)), driver_loaded=False)
    assert found == FoundGpus(notes=("NVIDIA's driver cannot be asked: it tried to end the program: exit 3.",))


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("raise SystemExit(1)", "it tried to end the program: exit 1"),
        ("raise OSError('libnvidia-ml is of another machine')", "libnvidia-ml is of another machine"),
        ("import no_such_module", "No module named 'no_such_module'"),
    ],
)
def test_a_pynvml_that_does_not_import_is_noted(
    program: str, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pynvml.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    assert detect_gpus(tmp_path).notes == (f"nvidia-ml-py is installed but does not import: {note}.",)


@settings(max_examples=100, deadline=None)
@given(failures=st.dictionaries(st.sampled_from(sorted(ANSWERS)), FAILURES), name=st.sampled_from(NVIDIA_MACHINES))
def test_no_failure_of_the_driver_is_an_error(failures: dict[str, Exception], name: str) -> None:
    nvml = FakeNvml(load(name), lambda function, place: failures.get(function))
    found = nvidia_gpus(nvml, driver_loaded=True)
    assert isinstance(found, FoundGpus)
    if "nvmlShutdown" not in failures:
        assert nvml.open == 0  # whatever happened, the driver was let go


@pytest.mark.parametrize(
    ("code", "driver_loaded", "noted"),
    [(12, False, False), (9, False, False), (12, True, True), (9, True, True), (18, False, True), (999, True, True)],
)
def test_nvml_does_not_start(code: int, driver_loaded: bool, noted: bool) -> None:
    nvml = FakeNvml(load("t4"), lambda function, place: NVMLError(code) if function == "nvmlInit" else None)
    found = nvidia_gpus(nvml, driver_loaded=driver_loaded)
    assert found.gpus == ()
    assert bool(found.notes) == noted


def test_without_pynvml_only_a_loaded_driver_is_noted() -> None:
    assert nvidia_gpus(None, driver_loaded=False) == FoundGpus()
    assert "nvidia-ml-py is not installed" in nvidia_gpus(None, driver_loaded=True).notes[0]


def test_old_releases_of_pynvml_answer_in_bytes() -> None:
    record = load("h100_sxm5")
    record["gpu"][0] |= {"name": b"NVIDIA H100 80GB HBM3", "uuid": b"GPU-1", "bus": b"00000000:18:00.0"}
    (gpu,) = nvidia_gpus(FakeNvml(record), driver_loaded=True).gpus
    assert (gpu.name, gpu.uuid, gpu.pci_address) == ("NVIDIA H100 80GB HBM3", "GPU-1", "00000000:18:00.0")


def test_mig_without_an_instance_for_this_process_is_still_on() -> None:
    record = load("a100_mig")

    def hidden(function: str, place: int | None) -> Exception | None:
        return NVMLError(6) if function == "nvmlDeviceGetMigDeviceHandleByIndex" else None

    (gpu,) = nvidia_gpus(FakeNvml(record, hidden), driver_loaded=True).gpus
    assert gpu.mig == ("no instance that this process may use",)
