"""NVIDIA's GPUs, asked of the driver through NVML. Nothing is initialised on a GPU."""

import contextlib
from typing import Any

from rooflight.core.types import Gpu, GpuState, PcieLink
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.nvml import DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, Questions, text

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
_MOST_NVLINKS = 36


def nvidia_gpus(nvml: Any, *, driver_loaded: bool) -> FoundGpus:
    """Every GPU that NVML lists, in its order (by PCI bus, which CUDA follows only with CUDA_DEVICE_ORDER=PCI_BUS_ID).

    nvml           the module pynvml, or something with its functions; None: not installed
    driver_loaded  whether the kernel has NVIDIA's driver: without it, a missing NVML is no news
    """
    if nvml is None:
        return FoundGpus(
            notes=("NVIDIA's driver is loaded, but nvidia-ml-py is not installed.",) if driver_loaded else ()
        )
    try:
        nvml.nvmlInit()
    except Exception as error:
        expected = getattr(error, "value", None) in (LIBRARY_NOT_FOUND, DRIVER_NOT_LOADED)
        if expected and not driver_loaded:
            return FoundGpus()
        return FoundGpus(notes=(f"NVIDIA's driver cannot be asked: {error}.",))
    try:
        return _all_gpus(nvml)
    finally:
        with contextlib.suppress(Exception):  # everything has been asked by now
            nvml.nvmlShutdown()


def _all_gpus(nvml: Any) -> FoundGpus:
    system = Questions("NVIDIA's driver")
    cuda = system.ask("its newest CUDA", lambda: nvml.nvmlSystemGetCudaDriverVersion_v2())
    driver = text(system.ask("its version", lambda: nvml.nvmlSystemGetDriverVersion()))
    count = system.ask("the number of GPUs", lambda: nvml.nvmlDeviceGetCount()) or 0
    asked = [_gpu(nvml, index, driver) for index in range(count)]
    return FoundGpus(
        gpus=tuple(gpu for gpu, _ in asked if gpu is not None),
        cuda_driver_version=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else None,
        notes=(*system.notes(), *(note for _, notes in asked for note in notes)),
    )


def _gpu(nvml: Any, index: int, driver: str | None) -> tuple[Gpu | None, tuple[str, ...]]:
    """One GPU and what its driver would not tell; no GPU where it cannot even be addressed."""
    questions = Questions(f"GPU {index}")
    ask = questions.ask
    handle = ask("anything", lambda: nvml.nvmlDeviceGetHandleByIndex(index))
    if handle is None:
        return None, questions.notes() or (f"GPU {index}: the driver lists it but does not let it be asked.",)
    memory = ask("the memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    capability = _capability(ask("the compute capability", lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    cores = ask("the number of cores", lambda: nvml.nvmlDeviceGetNumGpuCores(handle))
    ecc = ask("whether ECC is on", lambda: nvml.nvmlDeviceGetCurrentEccMode(handle))
    pci = ask("the PCI address", lambda: nvml.nvmlDeviceGetPciInfo(handle))
    state = _state(nvml, handle, ask)
    gpu = Gpu(
        index=index,
        name=text(ask("the name", lambda: nvml.nvmlDeviceGetName(handle))) or "unknown NVIDIA GPU",
        vendor="nvidia",
        memory_bytes=None if memory is None else int(memory.total),
        free_bytes=None if memory is None else int(memory.free),
        compute_capability=capability,
        target=capability,
        driver_version=driver,
        units=_units(cores, capability),
        uuid=text(ask("the UUID", lambda: nvml.nvmlDeviceGetUUID(handle))),
        pci_address=text(None if pci is None else pci.busId),
        power_limit_watts=_watts(ask("the power limit", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))),
        default_power_limit_watts=_watts(
            ask("the default power limit", lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle))
        ),
        max_core_clock_hz=_hertz(ask("the highest clock", lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, _SM_CLOCK))),
        pcie=_pcie(nvml, handle, ask),
        nvlinks=_nvlinks(nvml, handle),
        mig=_mig(nvml, handle, ask),
        ecc=None if ecc is None else bool(ecc),
        unified_memory=capability in UNIFIED_MEMORY and "the memory" in questions.unsupported,
        state=state,
    )
    return gpu, questions.notes()


def nvidia_state(nvml: Any, handle: Any) -> GpuState:
    """Clocks, power, temperature, load and throttling at this moment; what the driver refuses stays None."""
    return _state(nvml, handle, Questions("state").ask)


def _state(nvml: Any, handle: Any, ask: Any) -> GpuState:
    memory = ask("the memory", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    load = ask("the load", lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    degrees = ask("the temperature", lambda: nvml.nvmlDeviceGetTemperature(handle, _GPU_TEMPERATURE))
    return GpuState(
        free_bytes=None if memory is None else int(memory.free),
        core_clock_hz=_hertz(ask("the clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, _SM_CLOCK))),
        memory_clock_hz=_hertz(ask("the memory clock", lambda: nvml.nvmlDeviceGetClockInfo(handle, _MEMORY_CLOCK))),
        power_watts=_power(nvml, handle, ask),
        temperature_celsius=None if degrees is None else float(degrees),
        busy=None if load is None else load.gpu / 100,
        throttled_by=_throttled_by(ask("what slows it", lambda: _event_reasons(nvml, handle))),
    )


def _power(nvml: Any, handle: Any, ask: Any) -> float | None:
    """Watts now. nvmlDeviceGetPowerUsage averages over a second since Ampere: the instantaneous field goes first."""
    values = ask("the power", lambda: nvml.nvmlDeviceGetFieldValues(handle, [_POWER_INSTANT]))
    if values is not None and values[0].nvmlReturn == 0:
        return _watts(values[0].value.uiVal)
    return _watts(ask("the power", lambda: nvml.nvmlDeviceGetPowerUsage(handle)))


def _event_reasons(nvml: Any, handle: Any) -> int:
    """The bits under their new name, or the old one with drivers before 535."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except Exception:
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _throttled_by(bits: int | None) -> tuple[str, ...] | None:
    if bits is None:
        return None
    if bits & _SPECIFIC_SLOWDOWN:
        bits &= ~0x008
    return tuple(word for bit, word in THROTTLE_REASONS.items() if bits & bit)


def _pcie(nvml: Any, handle: Any, ask: Any) -> PcieLink | None:
    link = PcieLink(
        generation=ask("the PCIe link", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
        lanes=ask("the PCIe link", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        max_generation=ask("the PCIe link", lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),
        max_lanes=ask("the PCIe link", lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
    )
    known = (link.generation, link.lanes, link.max_generation, link.max_lanes)
    return link if any(each is not None for each in known) else None


def _nvlinks(nvml: Any, handle: Any) -> int | None:
    """NVLink links that are up; None where the GPU has no NVLink. A GPU answers for as many links as it has."""
    up: list[bool] = []
    for link in range(_MOST_NVLINKS):
        try:
            up.append(bool(nvml.nvmlDeviceGetNvLinkState(handle, link)))
        except Exception:
            break
    return sum(up) if up else None


def _mig(nvml: Any, handle: Any, ask: Any) -> tuple[str, ...] | None:
    """Names of the GPU's MIG instances: () when MIG is off, None where the GPU has no MIG."""
    mode = ask("the MIG mode", lambda: nvml.nvmlDeviceGetMigMode(handle))
    if mode is None:
        return None
    if not mode[0]:
        return ()
    names = []
    for place in range(ask("the number of MIG instances", lambda: nvml.nvmlDeviceGetMaxMigDeviceCount(handle)) or 0):
        name = ask("the MIG instances", lambda place=place: _mig_name(nvml, handle, place))
        if name:
            names.append(name)
    return tuple(names) or ("no instance that this process may use",)


def _mig_name(nvml: Any, handle: Any, place: int) -> str | None:
    """Places without an instance answer "not found"."""
    return text(nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)))


def _capability(pair: tuple[int, int] | None) -> str | None:
    return f"{pair[0]}.{pair[1]}" if pair else None


def _units(cores: int | None, capability: str | None) -> int | None:
    per_sm = CORES_PER_SM.get(capability or "")
    return cores // per_sm if cores and per_sm else None


def _watts(milliwatts: int | None) -> float | None:
    """NVML counts in milliwatts; 0 is what some boards without a sensor or limit say."""
    return milliwatts / 1000 if milliwatts else None


def _hertz(megahertz: int | None) -> float | None:
    return megahertz * 1e6 if megahertz is not None else None
