"""NVIDIA's GPUs, asked of the driver through NVML. Nothing is initialised on a GPU."""

import contextlib
from typing import Any

from rooflight.core.types import Gpu, GpuState, PcieLink
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.nvml import (
    DRIVER_NOT_LOADED,
    FAILURES,
    LIBRARY_NOT_FOUND,
    Questions,
    figure,
    flag,
    part,
    reason,
    text,
    whole,
)

# FP32 cores of one SM, by compute capability. From CUDA's samples, Common/helper_cuda.h, and the tuning guides.
CORES_PER_SM = {
    **dict.fromkeys(("3.0", "3.2", "3.5", "3.7"), 192),
    **dict.fromkeys(("5.0", "5.2", "5.3", "6.1", "6.2"), 128),
    **dict.fromkeys(("6.0", "7.0", "7.2", "7.5", "8.0"), 64),
    **dict.fromkeys(("8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1"), 128),
}

# Compute capabilities that only exist beside a CPU whose memory they use: Tegra from X1 to Thor (10.1 before CUDA 13),
# and GB10. Grace's big GPUs have memory of their own.
UNIFIED_MEMORY = ("5.3", "6.2", "7.2", "8.7", "10.1", "11.0", "12.1")

# nvml.h, nvmlClocksEventReasons: what slows the clocks. Idle is no throttling.
THROTTLE_REASONS = {
    0x002: "clocks set by hand",
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x010: "clocks kept in step with another GPU",
    0x020: "heat",
    0x040: "heat (hardware slowdown)",
    0x080: "power brake",
    0x100: "display clocks",
}
_SPECIFIC_SLOWDOWN = 0x040 | 0x080  # set together with the general 0x008

_SM_CLOCK, _MEMORY_CLOCK, _GPU_TEMPERATURE, _POWER_INSTANT = 1, 2, 0, 186
_MOST_NVLINKS, _MOST_GPUS, _MOST_INSTANCES = 36, 1024, 64


def nvidia_gpus(nvml: Any, *, driver_loaded: bool, import_failure: str = "") -> FoundGpus:
    """Every GPU that NVML lists, in its order (by PCI bus, which CUDA follows only with CUDA_DEVICE_ORDER=PCI_BUS_ID).

    nvml            the module pynvml, or something with its functions; None: not installed, or not to be imported
    driver_loaded   whether the kernel has NVIDIA's driver: without it, a missing NVML is no news
    import_failure  why pynvml, which is installed, cannot be imported
    """
    if nvml is None and import_failure:
        return FoundGpus(notes=(f"nvidia-ml-py is installed but does not import: {import_failure}.",))
    if nvml is None:
        return FoundGpus(
            notes=("NVIDIA's driver is loaded, but nvidia-ml-py is not installed.",) if driver_loaded else ()
        )
    try:
        nvml.nvmlInit()
    except FAILURES as error:
        expected = getattr(error, "value", None) in (LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED)
        if expected and not driver_loaded:
            return FoundGpus()
        return FoundGpus(notes=(f"NVIDIA's driver cannot be asked: {reason(error)}.",))
    try:
        return _all_gpus(nvml)
    finally:
        with contextlib.suppress(*FAILURES):  # everything has been asked by now
            nvml.nvmlShutdown()


def _all_gpus(nvml: Any) -> FoundGpus:
    system = Questions("NVIDIA's driver")
    cuda = system.ask("its newest CUDA", lambda: whole(nvml.nvmlSystemGetCudaDriverVersion_v2()))
    driver = system.ask("its version", lambda: text(nvml.nvmlSystemGetDriverVersion()))
    count = system.ask("the number of GPUs", lambda: whole(nvml.nvmlDeviceGetCount(), most=_MOST_GPUS)) or 0
    asked = [_gpu_or_note(nvml, index, driver) for index in range(count)]
    return FoundGpus(
        gpus=tuple(gpu for gpu, _ in asked if gpu is not None),
        cuda_driver_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        notes=(*system.notes(), *(note for _, notes in asked for note in notes)),
    )


def _gpu_or_note(nvml: Any, index: int, driver: str | None) -> tuple[Gpu | None, tuple[str, ...]]:
    """The net below the questions: what goes wrong with one GPU, in whatever way, leaves the others to be told."""
    try:
        return _gpu(nvml, index, driver)
    except Exception as error:
        return None, (f"GPU {index}: what the driver tells cannot be used ({reason(error)}).",)


def _gpu(nvml: Any, index: int, driver: str | None) -> tuple[Gpu | None, tuple[str, ...]]:
    """One GPU and what its driver would not tell; no GPU where it cannot even be addressed."""
    questions = Questions(f"GPU {index}")
    ask = questions.ask
    handle = ask("anything", lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        return None, questions.notes() or (f"GPU {index}: the driver lists it but does not let it be asked.",)
    memory = ask("the memory", lambda: _memory(nvml, handle))
    capability = ask("the compute capability", lambda: _capability(nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    gpu = Gpu(
        index=index,
        name=ask("the name", lambda: text(nvml.nvmlDeviceGetName(handle))) or "unknown NVIDIA GPU",
        vendor="nvidia",
        memory_bytes=memory[0] if memory else None,
        free_bytes=memory[1] if memory else None,
        compute_capability=capability,
        target=capability,
        driver_version=driver,
        units=ask("the number of cores", lambda: _units(nvml.nvmlDeviceGetNumGpuCores(handle), capability)),
        uuid=ask("the UUID", lambda: text(nvml.nvmlDeviceGetUUID(handle))),
        pci_address=ask("the PCI address", lambda: text(part(nvml.nvmlDeviceGetPciInfo(handle), "busId"))),
        power_limit_watts=ask("the power limit", lambda: _watts(nvml.nvmlDeviceGetEnforcedPowerLimit(handle))),
        default_power_limit_watts=ask(
            "the default power limit", lambda: _watts(nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle))
        ),
        max_core_clock_hz=ask("the highest clock", lambda: _hertz(nvml.nvmlDeviceGetMaxClockInfo(handle, _SM_CLOCK))),
        pcie=_pcie(nvml, handle, ask),
        nvlinks=_nvlinks(nvml, handle),
        mig=_mig(nvml, handle, ask),
        ecc=ask("whether ECC is on", lambda: flag(nvml.nvmlDeviceGetCurrentEccMode(handle))),
        unified_memory=capability in UNIFIED_MEMORY and "the memory" in questions.unsupported,
        state=_state(nvml, handle, ask),
    )
    return gpu, questions.notes()


def nvidia_state(nvml: Any, handle: Any) -> GpuState:
    """Clocks, power, temperature, load and throttling at this moment; what the driver refuses stays None."""
    return _state(nvml, handle, Questions("state").ask)


def _state(nvml: Any, handle: Any, ask: Any) -> GpuState:
    memory = ask("the memory", lambda: _memory(nvml, handle))
    return GpuState(
        free_bytes=memory[1] if memory else None,
        core_clock_hz=ask("the clock", lambda: _hertz(nvml.nvmlDeviceGetClockInfo(handle, _SM_CLOCK))),
        memory_clock_hz=ask("the memory clock", lambda: _hertz(nvml.nvmlDeviceGetClockInfo(handle, _MEMORY_CLOCK))),
        power_watts=_power(nvml, handle, ask),
        temperature_celsius=ask(
            "the temperature", lambda: figure(nvml.nvmlDeviceGetTemperature(handle, _GPU_TEMPERATURE))
        ),
        busy=ask("the load", lambda: figure(part(nvml.nvmlDeviceGetUtilizationRates(handle), "gpu"), most=100) / 100),
        throttled_by=ask("what slows it", lambda: _throttled_by(_event_reasons(nvml, handle))),
    )


def _memory(nvml: Any, handle: Any) -> tuple[int, int]:
    """(all, free) in bytes."""
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    total = whole(part(memory, "total"), least=1)
    return total, whole(part(memory, "free"), most=total)


def _power(nvml: Any, handle: Any, ask: Any) -> float | None:
    """Watts now. nvmlDeviceGetPowerUsage averages over a second since Ampere: the instantaneous field goes first."""
    instant = ask("the power", lambda: _instant_power(nvml, handle))
    if instant is not None:
        return float(instant)
    averaged: float | None = ask("the power", lambda: _watts(nvml.nvmlDeviceGetPowerUsage(handle)))
    return averaged


def _instant_power(nvml: Any, handle: Any) -> float | None:
    """The field; None where it is not supported, which each field tells for itself."""
    value = nvml.nvmlDeviceGetFieldValues(handle, [_POWER_INSTANT])[0]
    return _watts(part(part(value, "value"), "uiVal")) if part(value, "nvmlReturn") == 0 else None


def _event_reasons(nvml: Any, handle: Any) -> int:
    """The bits under their new name, or the old one with drivers before 535."""
    try:
        return whole(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except Exception:
        return whole(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _throttled_by(bits: int) -> tuple[str, ...]:
    if bits & _SPECIFIC_SLOWDOWN:
        bits &= ~0x008
    return tuple(word for bit, word in THROTTLE_REASONS.items() if bits & bit)


def _pcie(nvml: Any, handle: Any, ask: Any) -> PcieLink | None:
    link = PcieLink(
        generation=ask("the PCIe link", lambda: whole(nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle))),
        lanes=ask("the PCIe link", lambda: whole(nvml.nvmlDeviceGetCurrPcieLinkWidth(handle))),
        max_generation=ask("the PCIe link", lambda: whole(nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))),
        max_lanes=ask("the PCIe link", lambda: whole(nvml.nvmlDeviceGetMaxPcieLinkWidth(handle))),
    )
    known = (link.generation, link.lanes, link.max_generation, link.max_lanes)
    return link if any(each is not None for each in known) else None


def _nvlinks(nvml: Any, handle: Any) -> int | None:
    """NVLink links that are up; None where the GPU has no NVLink. A GPU answers for as many links as it has."""
    up: list[bool] = []
    for link in range(_MOST_NVLINKS):
        try:
            up.append(flag(nvml.nvmlDeviceGetNvLinkState(handle, link)))
        except FAILURES:
            break
    return sum(up) if up else None


def _mig(nvml: Any, handle: Any, ask: Any) -> tuple[str, ...] | None:
    """Names of the GPU's MIG instances: () when MIG is off, None where the GPU has no MIG."""
    on = ask("the MIG mode", lambda: flag(nvml.nvmlDeviceGetMigMode(handle)[0]))  # now, and after a restart
    if on is None:
        return None
    if not on:
        return ()
    most = ask(
        "the number of MIG instances", lambda: whole(nvml.nvmlDeviceGetMaxMigDeviceCount(handle), most=_MOST_INSTANCES)
    )
    names = []
    for place in range(most or 0):
        name = ask("the MIG instances", lambda place=place: _mig_name(nvml, handle, place))
        if name:
            names.append(name)
    return tuple(names) or ("no instance that this process may use",)


def _mig_name(nvml: Any, handle: Any, place: int) -> str:
    """Places without an instance answer "not found"."""
    return text(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)))


def _capability(pair: Any) -> str:
    """(9, 0) → "9.0"."""
    major, minor = pair
    return f"{whole(major)}.{whole(minor)}"


def _units(cores: Any, capability: str | None) -> int | None:
    """SMs; None where nobody says how many cores one has."""
    per_sm = CORES_PER_SM.get(capability or "")
    return whole(cores) // per_sm or None if per_sm else None


def _watts(milliwatts: Any) -> float | None:
    """NVML counts in milliwatts; 0 is what some boards without a sensor or limit say."""
    return figure(milliwatts) / 1000 or None


def _hertz(megahertz: Any) -> float:
    return figure(megahertz) * 1e6
