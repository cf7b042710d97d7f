"""This machine's roofline, measured, with the machine's own names and sizes on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.types import GpuSpec, Machine

if TYPE_CHECKING:
    import torch


def find_roof(
    device: torch.device, machine: Machine, dtypes: tuple[str, ...], *, console: Console, calibration: str = "auto"
) -> GpuSpec:
    """The device's roof from an earlier `bench calibrate` that fits, else measured now; says which.

    calibration  "auto": the file in the user's cache folder, if it fits; "none": measure; or a path
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
    return measured_roof(device, machine, dtypes)


def measured_roof(device: torch.device, machine: Machine, dtypes: tuple[str, ...] | None = None) -> GpuSpec:
    """What the device reaches in matrix products, copies and launches; takes a few seconds."""
    from rooflight.bench.rates import measure_roof

    return measure_roof(
        device,
        memory_bytes=device_memory_bytes(device, machine),
        name=device_name(device, machine),
        dtypes=dtypes,
        cache_bytes=machine.cpu.l3_bytes if device.type == "cpu" else None,
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
