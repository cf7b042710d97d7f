"""The GPUs of this machine, as their drivers name them. Nothing is initialised on a GPU."""

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rooflight.core.types import Gpu
from rooflight.hardware.limits import read

T = TypeVar("T")

NVML_NOT_SUPPORTED, NVML_DRIVER_NOT_LOADED = 3, 9
NVML_LIBRARY_NOT_FOUND, NVML_FUNCTION_NOT_FOUND = 12, 13
AMD_VENDOR = "0x1002"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGpus:
    """The GPUs that the drivers tell of, and what they would not tell."""

    gpus: tuple[Gpu, ...] = ()
    cuda_driver_version: str | None = None  # the newest CUDA that NVIDIA's driver speaks
    notes: tuple[str, ...] = ()


def detect_gpus(root: Path = Path("/"), nvml: Any = None, cpu_model: str = "") -> FoundGpus:
    """NVIDIA's GPUs by NVML, AMD's on Linux by sysfs, Apple's by the processor's name. Intel's are not looked for.

    root       where /proc and /sys are looked for
    nvml       the module pynvml, or something with its functions; None: pynvml
    cpu_model  the processor's name, which on Apple silicon is the GPU's too
    """
    nvidia = nvidia_gpus(nvml or _pynvml(), driver_loaded=(root / "proc/driver/nvidia").exists())
    amd = amd_gpus(root / "sys/class/drm", driver_version=read(root / "sys/module/amdgpu/version") or None)
    apple = apple_gpus(cpu_model) if sys.platform == "darwin" else ()
    return FoundGpus(
        gpus=(*nvidia.gpus, *amd, *apple), cuda_driver_version=nvidia.cuda_driver_version, notes=nvidia.notes
    )


def _pynvml() -> Any:
    try:
        import pynvml
    except ImportError:
        return None
    return pynvml


# ---------------------------------------------------------------- NVIDIA


def nvidia_gpus(nvml: Any, *, driver_loaded: bool) -> FoundGpus:
    """Every GPU that NVML lists, in its order (by PCI bus, which CUDA follows only with CUDA_DEVICE_ORDER=PCI_BUS_ID).

    driver_loaded  whether the kernel has NVIDIA's driver: without it, a missing NVML is no news
    """
    if nvml is None:
        return FoundGpus(
            notes=("NVIDIA's driver is loaded, but nvidia-ml-py is not installed.",) if driver_loaded else ()
        )
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        expected = getattr(error, "value", None) in (NVML_LIBRARY_NOT_FOUND, NVML_DRIVER_NOT_LOADED)
        if expected and not driver_loaded:
            return FoundGpus()
        return FoundGpus(notes=(f"NVIDIA's driver cannot be asked: {error}.",))
    try:
        return _ask_nvml(nvml)
    finally:
        with contextlib.suppress(nvml.NVMLError):  # everything has been asked by now
            nvml.nvmlShutdown()


def _ask_nvml(nvml: Any) -> FoundGpus:
    notes: list[str] = []

    def ask(what: str, call: Callable[[], T]) -> T | None:
        """The answer; None where the device has none. Any other failure is noted too."""
        try:
            return call()
        except nvml.NVMLError as error:
            if getattr(error, "value", None) not in (NVML_NOT_SUPPORTED, NVML_FUNCTION_NOT_FOUND):
                notes.append(f"NVML does not tell {what}: {error}.")
            return None

    cuda = ask("the newest CUDA of the driver", nvml.nvmlSystemGetCudaDriverVersion_v2)
    driver = ask("the driver's version", nvml.nvmlSystemGetDriverVersion)
    count = ask("the number of GPUs", nvml.nvmlDeviceGetCount) or 0
    gpus = [_nvidia_gpu(nvml, index, None if driver is None else _text(driver), ask, notes) for index in range(count)]
    return FoundGpus(
        gpus=tuple(gpu for gpu in gpus if gpu is not None),
        cuda_driver_version=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        notes=tuple(notes),
    )


def _nvidia_gpu(nvml: Any, index: int, driver: str | None, ask: Any, notes: list[str]) -> Gpu | None:
    handle = ask(f"anything of GPU {index}", lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        return None
    name = ask(f"the name of GPU {index}", lambda: nvml.nvmlDeviceGetName(handle))
    memory = ask(f"the memory of GPU {index}", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    capability = ask(f"the compute capability of GPU {index}", lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    milliwatts = ask(f"the power limit of GPU {index}", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    mig = ask(f"the MIG mode of GPU {index}", lambda: nvml.nvmlDeviceGetMigMode(handle))
    if memory is None:
        notes.append(f"GPU {index}: the driver names no memory; on Jetson and GB10 it shares the CPU's.")
    if mig is not None and mig[0]:
        notes.append(f"GPU {index} is split by MIG: a process gets a part of the memory and cores shown.")
    return Gpu(
        index=index,
        name="unknown NVIDIA GPU" if name is None else _text(name),
        vendor="nvidia",
        memory_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
        driver_version=driver,
        power_limit_watts=None if milliwatts is None else milliwatts / 1000,
    )


def _text(answer: str | bytes) -> str:
    """Old releases of pynvml answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


# ---------------------------------------------------------------- AMD and Apple


def amd_gpus(drm: Path, *, driver_version: str | None = None) -> tuple[Gpu, ...]:
    """AMD's GPUs from the files of the kernel driver amdgpu, in the order of their cards.

    drm             /sys/class/drm
    driver_version  of an out-of-tree driver; the kernel's own has no number
    """
    cards = (card for card in drm.glob("card[0-9]*") if card.name[4:].isdecimal())  # not card0-HDMI-A-1
    devices = [card / "device" for card in sorted(cards, key=lambda card: int(card.name[4:]))]
    amd = [device for device in devices if read(device / "vendor").lower() == AMD_VENDOR]
    return tuple(_amd_gpu(index, device, driver_version) for index, device in enumerate(amd))


def _amd_gpu(index: int, device: Path, driver_version: str | None) -> Gpu:
    total, used = _number(device / "mem_info_vram_total"), _number(device / "mem_info_vram_used")
    watts = next((cap / 1e6 for path in sorted(device.glob("hwmon/hwmon*/power1_cap")) if (cap := _number(path))), None)
    return Gpu(
        index=index,
        # Only data-centre cards carry their name; the others have just a number on the PCI bus.
        name=read(device / "product_name") or f"AMD GPU {read(device / 'device') or 'of unknown kind'}",
        vendor="amd",
        memory_bytes=total,
        free_bytes=None if total is None or used is None else total - used,
        compute_capability=None,
        driver_version=driver_version,
        power_limit_watts=watts,
    )


def apple_gpus(cpu_model: str) -> tuple[Gpu, ...]:
    """The GPU inside an Apple processor. Its memory is the machine's, so it has no size of its own."""
    if not cpu_model.startswith("Apple"):
        return ()
    return (
        Gpu(
            index=0,
            name=cpu_model,
            vendor="apple",
            memory_bytes=None,
            free_bytes=None,
            compute_capability=None,
            driver_version=None,
            power_limit_watts=None,
        ),
    )


def _number(path: Path) -> int | None:
    text = read(path)
    return int(text) if text.isdecimal() else None
