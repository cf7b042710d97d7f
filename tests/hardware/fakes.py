"""Machines that the tests do not run on: a fake NVML and a fake /sys, filled from the files in machines/."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rooflight.core.types import Cpu, Framework, Gpu, Machine
from rooflight.hardware.gpus import FoundGpus, detect_gpus
from rooflight.hardware.nvidia import nvidia_gpus

MACHINES = Path(__file__).parent / "machines"
NVIDIA_MACHINES = sorted(path.stem for path in MACHINES.glob("*.toml") if "[[gpu]]" in path.read_text())
NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND, GPU_IS_LOST, UNKNOWN = 3, 6, 13, 15, 999
WORDS = {3: "Not Supported", 6: "Not Found", 9: "Driver Not Loaded", 12: "NVML Shared Library Not Found"}
WORDS |= {10: "Timeout", 13: "Function Not Found", 15: "GPU is lost", 4: "Insufficient Permissions"}


class NVMLError(Exception):
    """As pynvml's: a code in `value`, the driver's words as text."""

    def __init__(self, value: int) -> None:
        super().__init__(WORDS.get(value, "Unknown Error"))
        self.value = value


class FakeNvml:
    """Answers as NVML does on a recorded machine.

    fail    called with (function, place of the GPU or None) before each answer; what it returns is raised
    counts  the functions that were called
    """

    NVMLError = NVMLError

    def __init__(
        self, record: dict[str, Any], fail: Callable[[str, int | None], Exception | None] | None = None
    ) -> None:
        self.record, self.gpus = record, record["gpu"]
        self.fail = fail or (lambda function, place: None)
        self.open = 0

    def __getattr__(self, function: str) -> Callable[..., Any]:
        answer = ANSWERS.get(function)
        if answer is None:
            raise AttributeError(function)

        def call(*arguments: Any) -> Any:
            gpu = arguments[0] if arguments and isinstance(arguments[0], dict) else None
            place = self.gpus.index(gpu) if gpu in self.gpus else None
            failure = self.fail(function, place)
            if failure is not None:
                raise failure
            if gpu is not None and gpu.get("lost"):
                raise NVMLError(GPU_IS_LOST)
            if gpu is not None and function in gpu.get("broken", ()):
                raise NVMLError(UNKNOWN)
            value = answer(self, *arguments)
            if value is None:
                raise NVMLError(NOT_SUPPORTED)
            return value

        return call


def _field(name: str, scale: float = 1) -> Callable[..., Any]:
    def answer(nvml: FakeNvml, gpu: dict[str, Any], *rest: Any) -> Any:
        return None if name not in gpu else round(gpu[name] * scale) if scale != 1 else gpu[name]

    return answer


def _started(nvml: FakeNvml) -> bool:
    nvml.open += 1
    return True


def _stopped(nvml: FakeNvml) -> bool:
    nvml.open -= 1
    return True


def _by_uuid(nvml: FakeNvml, uuid: str) -> Any:
    return next((gpu for gpu in nvml.gpus if gpu.get("uuid") == uuid), None)


def _memory(nvml: FakeNvml, gpu: dict[str, Any]) -> Any:
    if "mib" not in gpu:
        return None
    total, used = gpu["mib"] << 20, gpu["used_mib"] << 20
    return SimpleNamespace(total=total, used=used, free=total - used)


def _clock(nvml: FakeNvml, gpu: dict[str, Any], kind: int) -> Any:
    return gpu.get({1: "sm_mhz", 2: "memory_mhz"}[kind])


def _fields(nvml: FakeNvml, gpu: dict[str, Any], numbers: Sequence[int]) -> Any:
    """POWER_INSTANT is 186; drivers before 530 answer each field with "not supported"."""
    watts = gpu.get("instant_watts") if numbers == [186] else None
    value = SimpleNamespace(uiVal=round((watts or 0) * 1000))
    return [SimpleNamespace(nvmlReturn=0 if watts else NOT_SUPPORTED, value=value)]


def _nvlink(nvml: FakeNvml, gpu: dict[str, Any], link: int) -> Any:
    links = gpu.get("nvlinks", ())
    return links[link] if link < len(links) else None


def _mig(nvml: FakeNvml, gpu: dict[str, Any]) -> Any:
    return [int(bool(gpu["mig"]))] * 2 if "mig" in gpu else None


def _mig_device(nvml: FakeNvml, gpu: dict[str, Any], place: int) -> Any:
    if place >= len(gpu["mig"]):
        raise NVMLError(NOT_FOUND)
    return {"name": gpu["mig"][place]}


def _pcie(place: int) -> Callable[..., Any]:
    return lambda nvml, gpu: gpu["pcie"][place] if "pcie" in gpu else None


ANSWERS: dict[str, Callable[..., Any]] = {
    "nvmlInit": _started,
    "nvmlShutdown": _stopped,
    "nvmlSystemGetCudaDriverVersion_v2": lambda nvml: nvml.record.get("cuda"),
    "nvmlSystemGetDriverVersion": lambda nvml: nvml.record["driver"],
    "nvmlDeviceGetCount": lambda nvml: len(nvml.gpus),
    "nvmlDeviceGetHandleByIndex": lambda nvml, index: nvml.gpus[index],
    "nvmlDeviceGetHandleByUUID": _by_uuid,
    "nvmlDeviceGetName": _field("name"),
    "nvmlDeviceGetUUID": _field("uuid"),
    "nvmlDeviceGetPciInfo": lambda nvml, gpu: SimpleNamespace(busId=gpu["bus"]) if "bus" in gpu else None,
    "nvmlDeviceGetMemoryInfo": _memory,
    "nvmlDeviceGetCudaComputeCapability": _field("capability"),
    "nvmlDeviceGetNumGpuCores": _field("cores"),
    "nvmlDeviceGetEnforcedPowerLimit": _field("limit_watts", 1000),
    "nvmlDeviceGetPowerManagementDefaultLimit": _field("default_limit_watts", 1000),
    "nvmlDeviceGetPowerUsage": _field("average_watts", 1000),
    "nvmlDeviceGetTotalEnergyConsumption": _field("energy_millijoules"),
    "nvmlDeviceGetFieldValues": _fields,
    "nvmlDeviceGetMaxClockInfo": _field("max_sm_mhz"),
    "nvmlDeviceGetClockInfo": _clock,
    "nvmlDeviceGetTemperature": _field("celsius"),
    "nvmlDeviceGetUtilizationRates": lambda nvml, gpu: (
        SimpleNamespace(gpu=gpu["busy_percent"]) if "busy_percent" in gpu else None
    ),
    "nvmlDeviceGetCurrentClocksThrottleReasons": _field("throttle"),
    "nvmlDeviceGetCurrPcieLinkGeneration": _pcie(0),
    "nvmlDeviceGetCurrPcieLinkWidth": _pcie(1),
    "nvmlDeviceGetMaxPcieLinkGeneration": _pcie(2),
    "nvmlDeviceGetMaxPcieLinkWidth": _pcie(3),
    "nvmlDeviceGetNvLinkState": _nvlink,
    "nvmlDeviceGetMigMode": _mig,
    "nvmlDeviceGetMaxMigDeviceCount": lambda nvml, gpu: 7,
    "nvmlDeviceGetMigDeviceHandleByIndex": _mig_device,
    "nvmlDeviceGetCurrentEccMode": _field("ecc"),
}


def load(name: str) -> dict[str, Any]:
    """The record of a machine."""
    return tomllib.loads((MACHINES / f"{name}.toml").read_text())


def found_nvidia(name: str) -> FoundGpus:
    """What detection makes of a recorded machine with NVIDIA's GPUs."""
    return nvidia_gpus(FakeNvml(load(name)), driver_loaded=True)


def found_in_files(name: str, root: Path) -> FoundGpus:
    """What detection makes of a recorded machine whose kernel tells of its GPUs in files, laid out under `root`."""
    write_files(name, root)
    return detect_gpus(root, no_nvml())


def write_files(name: str, root: Path) -> None:
    """The files and links of a recorded machine."""
    record = load(name)
    for path, text in record["files"].items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    for path, target in record.get("links", {}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).symlink_to(root / target)


def no_nvml() -> FakeNvml:
    """NVML on a machine without NVIDIA's driver."""
    return FakeNvml(
        {"gpu": [], "driver": ""}, lambda function, place: NVMLError(12) if function == "nvmlInit" else None
    )


def machine(
    *gpus: Gpu,
    frameworks: Sequence[Framework] = (),
    cuda: str | None = None,
    isa: tuple[str, ...] = ("avx2", "avx512_bf16"),
    cores: int = 8,
) -> Machine:
    """A machine with these GPUs, on an ordinary processor."""
    cpu = Cpu(
        model="Some Processor",
        architecture="x86_64",
        physical_cores=cores,
        logical_cores=cores,
        isa=isa,
        l2_bytes=None,
        l3_bytes=None,
        memory_bytes=64 << 30,
    )
    return Machine(
        system="Linux 6.12",
        python="3.12.1",
        cpu=cpu,
        gpus=gpus,
        frameworks=tuple(frameworks),
        cuda_driver_version=cuda,
    )
