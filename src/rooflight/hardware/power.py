"""Meters: the energy that a GPU or the processor has drawn, from a counter where there is one, else from its power."""

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rooflight.core.meters import Meter
from rooflight.core.types import Gpu, GpuState, Machine
from rooflight.hardware.amd import amd_state
from rooflight.hardware.amd_smi import import_amdsmi, smi_address, smi_joules
from rooflight.hardware.intel import intel_state
from rooflight.hardware.nvidia import nvidia_state
from rooflight.hardware.nvml import FAILURES, figure, pynvml_or_none, reason
from rooflight.hardware.rapl import cpu_state, rapl_zones
from rooflight.hardware.sysfs import sensor
from rooflight.hardware.visible import driver_gpu

SAMPLES_PER_SECOND = 20
MOST_WATTS = 3000.0  # no GPU draws as much: what an energy counter may claim where there is no power limit


def _nothing() -> None:
    """No energy, or nothing to close."""


class CounterMeter:
    """A meter over a function that reads joules; where there is none to read, it tells the state alone."""

    def __init__(
        self,
        name: str,
        joules: Callable[[], float | None],
        state: Callable[[], GpuState],
        close: Callable[[], None] = _nothing,
    ) -> None:
        self.name = name
        self.joules = joules
        self.state = state
        self.close = close


class SampledMeter:
    """A meter over a function that reads watts: a thread asks it many times a second and adds up."""

    def __init__(
        self,
        name: str,
        state: Callable[[], GpuState],
        close: Callable[[], None] = _nothing,
        seconds: float = 1 / SAMPLES_PER_SECOND,
    ) -> None:
        self.name = f"{name}, {1 / seconds:.0f} samples a second"
        self.state = state
        self._release, self._seconds = close, seconds
        self._total, self._lock, self._stop = 0.0, threading.Lock(), threading.Event()
        self._then, self._watts = time.monotonic(), state().power_watts
        self._thread = threading.Thread(target=self._run, name="rooflight power meter", daemon=True)
        self._thread.start()

    def joules(self) -> float | None:
        """Energy since the meter was opened; None while the device tells no power."""
        self._sample()
        return self._total if self._watts is not None else None

    def close(self) -> None:
        """Stop sampling and let go of the driver."""
        self._stop.set()
        self._thread.join()
        self._release()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._sample()

    def _sample(self) -> None:
        try:
            watts = self.state().power_watts
        except Exception:  # in the thread nobody would hear of it, and the meter would stand still
            watts = None
        with self._lock:
            now = time.monotonic()
            if watts is not None and self._watts is not None:
                self._total += (now - self._then) * (watts + self._watts) / 2  # trapezoid
            self._then, self._watts = now, watts


class Plausible:
    """An energy counter that is believed only while its power stays possible: some AMD drivers count nonsense."""

    def __init__(self, read: Callable[[], float | None], most_watts: float) -> None:
        self._read, self._most = read, most_watts
        self._then, self._joules = time.monotonic(), read()
        self.sound = self._joules is not None

    def __call__(self) -> float | None:
        """The counter, or None once it has run backwards, or faster than the device can draw, or cannot be read."""
        try:
            now, joules = time.monotonic(), self._read()
        except Exception:
            joules = None
        if joules is None or self._joules is None:
            self.sound = False
            return None
        # The counter steps every few milliseconds: allow what it may have held back.
        possible = self._most * (now - self._then + 0.1)
        self.sound = self.sound and 0 <= joules - self._joules <= possible
        self._then, self._joules = now, joules
        return joules if self.sound else None


def open_meter(
    machine: Machine, device_kind: str, index: int = 0, *, root: Path = Path("/"), nvml: Any = None
) -> tuple[Meter | None, str]:
    """A meter of the device that a framework calls so: "cpu", "cuda" (ROCm too), "xpu", "mps".

    index    as the framework counts, after CUDA_VISIBLE_DEVICES and the like
    returns  the meter, and what it reads; its joules() is None where there is no counter but state() tells something.
             No meter where nothing can be read. The text then says why
    """
    if device_kind == "cpu":
        return cpu_meter(root)
    gpu, why = driver_gpu(machine.gpus, device_kind, index, os.environ)
    return gpu_meter(gpu, root=root, nvml=nvml) if gpu else (None, why)


def gpu_meter(gpu: Gpu, *, root: Path = Path("/"), nvml: Any = None) -> tuple[Meter | None, str]:
    """A meter of one GPU, and what it reads or why it does not."""
    if gpu.vendor == "nvidia":
        return _nvidia_meter(gpu, nvml or pynvml_or_none())
    if gpu.vendor == "apple":
        return None, "macOS tells a GPU's power to root alone (powermetrics)"
    device = root / "sys/bus/pci/devices" / (gpu.pci_address or "none")
    if not device.is_dir():
        return None, f"{gpu.name}: the kernel has no files about it"
    return _amd_meter(gpu, device) if gpu.vendor == "amd" else _intel_meter(device)


def cpu_meter(root: Path = Path("/")) -> tuple[Meter, str]:
    """The energy of all the processor's packages together."""
    zones, why = rapl_zones(root)
    cpu_state()  # load is counted from here on
    if not zones:
        return CounterMeter("no energy counter", _nothing, cpu_state), why

    def joules() -> float | None:
        try:
            return sum(zone.microjoules() for zone in zones) / 1e6
        except (OSError, ValueError):
            return None

    name = f"RAPL, {len(zones)} processor package{'s' if len(zones) > 1 else ''}"
    return CounterMeter(name, joules, cpu_state), name


def _nvidia_meter(gpu: Gpu, nvml: Any) -> tuple[Meter | None, str]:
    if nvml is None:
        return None, "nvidia-ml-py is not installed"
    try:
        nvml.nvmlInit()
    except FAILURES as error:
        return None, f"NVIDIA's driver cannot be asked: {reason(error)}"
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid) if gpu.uuid else nvml.nvmlDeviceGetHandleByIndex(gpu.index)
    except FAILURES as error:
        nvml.nvmlShutdown()
        return None, f"{gpu.name} cannot be asked: {reason(error)}"

    def counted() -> float | None:
        try:
            return figure(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # counted in millijoules
        except FAILURES:
            return None

    state = partial(nvidia_state, nvml, handle)
    if counted() is not None:
        return CounterMeter("NVML's energy counter", counted, state, nvml.nvmlShutdown), "NVML's energy counter"
    return _sampled_or_not("NVML's power", state, nvml.nvmlShutdown)  # before Volta there is no counter


def _amd_meter(gpu: Gpu, device: Path) -> tuple[Meter, str]:
    state = partial(amd_state, device)
    most = 2 * (gpu.power_limit_watts or MOST_WATTS / 2)  # twice the limit: between two readings there may be peaks
    for name, find in (
        ("the kernel's energy counter", partial(_hwmon_counter, device)),
        ("amdsmi's energy counter", partial(_smi_counter, gpu)),
    ):
        read, close = find()
        if read is not None and (counter := _believed(read, most)):
            return CounterMeter(name, counter, state, close), name
        close()
    return _sampled_or_not("amdgpu's power", state)


def _intel_meter(device: Path) -> tuple[Meter, str]:
    state = partial(intel_state, device)
    read, _ = _hwmon_counter(device)
    if read is None:
        return CounterMeter("no energy counter", _nothing, state), "the kernel tells no energy of this GPU"
    return CounterMeter("the kernel's energy counter", read, state), "the kernel's energy counter"


Counter = tuple[
    Callable[[], float | None] | None, Callable[[], None]
]  # what reads joules, if there is one; what closes it


def _hwmon_counter(device: Path) -> Counter:
    """The kernel's energy counter of a card, in microjoules; with xe, the second one is the package's."""

    def read() -> float | None:
        microjoules = sensor(device, "energy1_input", "energy2_input")
        return None if microjoules is None else microjoules / 1e6

    return None if read() is None else read, _nothing


def _smi_counter(gpu: Gpu) -> Counter:
    """amdsmi's energy counter of the GPU at this PCI address."""
    amdsmi, _ = import_amdsmi()
    if amdsmi is None:
        return None, _nothing
    try:
        handles = {smi_address(amdsmi, handle): handle for handle in amdsmi.amdsmi_get_processor_handles()}
    except Exception:
        handles = {}
    handle = handles.get(gpu.pci_address)
    return None if handle is None else partial(smi_joules, amdsmi, handle), amdsmi.amdsmi_shut_down


def _believed(read: Callable[[], float | None], most_watts: float) -> Plausible | None:
    """The counter, if two readings 0.2 s apart make sense."""
    try:
        counter = Plausible(read, most_watts)
        time.sleep(0.2)
        counter()
    except Exception:
        return None
    return counter if counter.sound else None


def _sampled_or_not(
    name: str, state: Callable[[], GpuState], close: Callable[[], None] = _nothing
) -> tuple[Meter, str]:
    if state().power_watts is None:
        return CounterMeter("no power", _nothing, state, close), "the driver tells neither energy nor power"
    meter = SampledMeter(name, state, close)
    return meter, meter.name
