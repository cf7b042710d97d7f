"""This machine's roofline, measured, with the machine's own names and sizes on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.types import GpuSpec, Machine, Measurement

if TYPE_CHECKING:
    import torch

ABOVE = 1.02  # the noise of two measurements


def find_roof(
    device: torch.device,
    machine: Machine,
    dtypes: tuple[str, ...],
    *,
    console: Console,
    calibration: str = "auto",
    observe: Callable[[Measurement], object] = lambda measurement: None,
) -> GpuSpec:
    """The device's roof from an earlier `bench calibrate` that fits, else measured now; says which.

    calibration  "auto": the file in the user's cache folder, if it fits; "none": measure; or a path
    observe      is given each measurement, if any is made
    raises       ConfigError, OSError for a path whose file cannot be used
    """
    from rooflight.flows.calibration import calibrated_roof

    if calibration == "none":
        why = "no calibration, as asked"
    else:
        file = None if calibration == "auto" else Path(calibration)
        roof, why = calibrated_roof(device, machine, dtypes, file)
        if roof is not None:
            console.say(f"roof: {why}")
            return roof
    console.say(f"roof: {why}; measuring matrix products, bandwidth and launches")
    return measured_roof(device, machine, dtypes, observe)


def measured_roof(
    device: torch.device,
    machine: Machine,
    dtypes: tuple[str, ...] | None = None,
    observe: Callable[[Measurement], object] = lambda measurement: None,
) -> GpuSpec:
    """What the device reaches in matrix products, copies and launches; takes a few seconds."""
    from rooflight.bench.rates import measure_roof

    return measure_roof(
        device,
        memory_bytes=device_memory_bytes(device, machine),
        name=device_name(device, machine),
        dtypes=dtypes,
        cache_bytes=machine.cpu.l3_bytes if device.type == "cpu" else None,
        observe=observe,
    )


def too_low(what: str, shares: Iterable[float | None]) -> tuple[str, ...]:
    """A warning if some of the shares of a measured roof are above 1, which a roof that is right forbids."""
    highest = max((share for share in shares if share is not None), default=0.0)
    if highest <= ABOVE:
        return ()
    return (
        f"! {what} of {100 * highest:.0f} % cannot be: the roof was measured on a busy machine, or is too low. "
        "Try rooflight bench calibrate when nothing else runs.",
    )


def device_name(device: torch.device, machine: Machine) -> str:
    """The processor's or the GPU's name, as its driver gives it."""
    if device.type == "cpu":
        return machine.cpu.model
    import torch

    return torch.cuda.get_device_name(device)


def device_memory_bytes(device: torch.device, machine: Machine) -> int:
    """All the memory that the device has."""
    if device.type == "cpu":
        return machine.cpu.memory_bytes
    import torch

    return torch.cuda.get_device_properties(device).total_memory


def catalogued(device: torch.device) -> GpuSpec | None:
    """The catalogue's entry of a GPU as torch names it; None for a CPU, and for a GPU that it does not know."""
    if device.type != "cuda":
        return None
    import torch

    from rooflight.catalogue.resolve import resolve

    properties = torch.cuda.get_device_properties(device)
    return resolve(properties.name, memory_bytes=properties.total_memory, units=properties.multi_processor_count)
