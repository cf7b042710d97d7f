"""The file that keeps a device's measured roof between runs, and when it may be used."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import read_json
from rooflight.core.errors import ConfigError
from rooflight.core.roofs import Calibration
from rooflight.core.types import GpuSpec, Machine
from rooflight.core.units import show_bytes, show_percent
from rooflight.flows.roof import device_memory_bytes, device_name

if TYPE_CHECKING:
    import torch

# What no single device comes near: today's fastest reach 1e16 FLOP/s and 1e13 B/s.
MOST = {"FLOP/s": 1e18, "B/s": 1e15, "s": 1.0}

MOST_ERROR = 0.4  # of steps of held-out networks, the median: above, the operators' times tell nothing that the roof
# alone does not


def calibration_path(device_name: str, torch_version: str) -> Path:
    """Where the calibration of a device under one version of PyTorch lies: in the user's cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rooflight/calibration" / f"{_slug(device_name)}--torch-{_slug(torch_version)}.json"


def calibrated_roof(
    device: torch.device, machine: Machine, dtypes: tuple[str, ...], file: Path | None = None
) -> tuple[GpuSpec | None, str]:
    """The roof of an earlier calibration, and which; or None, and why it is not used.

    file    as the user named it; None: the one in the cache folder
    raises  ConfigError, OSError if a file that the user named cannot be read or does not fit; one in the cache folder
            that does not is only told of
    """
    import torch

    name = device_name(device, machine)
    path = file or calibration_path(name, torch.__version__)
    try:
        calibration = read_json(Calibration, path)
    except FileNotFoundError:
        if file is not None:
            raise
        return None, f"no calibration of {name} with torch {torch.__version__}{_others(path, name)}"
    except (ConfigError, OSError) as error:
        if file is not None:
            raise
        return None, f"the calibration in {path} cannot be read ({error})"
    why = _misfit(calibration, device, machine, dtypes)
    if why and file is not None:
        raise ConfigError(f"--calibration {file} does not fit: {why}. Try rooflight bench calibrate.")
    if why:
        return None, f"the calibration in {path} is not used: {why}"
    date = calibration.environment.date[:10]
    source = f"calibrated on {date}, {path}: {calibration.roof.source}"
    timed, said = calibration.timed, f"calibration of {date} ({path})"
    if timed is not None and not timed.median_error <= MOST_ERROR:  # true for nan too
        said += (
            f"; ! its timed operators are not used: steps of held-out networks were {show_percent(timed.median_error)} "
            "off (median). Try rooflight bench calibrate when nothing else runs"
        )
        timed = None
    return replace(calibration.roof, source=source, timed=timed), said


def _misfit(calibration: Calibration, device: torch.device, machine: Machine, dtypes: tuple[str, ...]) -> str | None:
    """Why a calibration says nothing of this device; None if it does."""
    import torch

    if words := impossible_figure(calibration.roof):
        return words
    name = device_name(device, machine)
    if calibration.device != name:
        return f"it is of {calibration.device}, this is {name}"
    memory = device_memory_bytes(device, machine)
    if abs(calibration.roof.memory_bytes - memory) > 0.02 * memory:
        return (
            f"it is of another {name}, with {show_bytes(calibration.roof.memory_bytes)} of memory; "
            f"this one has {show_bytes(memory)}"
        )
    if calibration.torch_version != torch.__version__:
        return f"it was made with torch {calibration.torch_version}, this is {torch.__version__}"
    if device.type == "cpu" and calibration.environment.threads != torch.get_num_threads():
        return f"it was made with {calibration.environment.threads} threads, these are {torch.get_num_threads()}"
    if lacking := [dtype for dtype in dtypes if dtype not in calibration.roof.flops_per_second]:
        return f"it has no {', '.join(lacking)}"
    return None


def impossible_figure(roof: GpuSpec) -> str | None:
    """The first figure that no device can have, a sentence of it; None if there is none."""
    products = {"products": roof.flops_per_second, **roof.kind_flops_per_second}
    figures = [(f"{kind} {dtype}", rate, "FLOP/s") for kind, rates in products.items() for dtype, rate in rates.items()]
    figures.append(("memory", roof.bytes_per_second, "B/s"))
    if roof.launch_seconds is not None:
        figures.append(("issue one operator", roof.launch_seconds, "s"))
    for name, value, unit in figures:
        if not 0 < value <= MOST[unit]:  # false for nan too
            return f"{name} at {value:g} {unit} cannot be"
    return None


def _others(path: Path, name: str) -> str:
    """What else is there of the same device."""
    found = sorted(other.name for other in path.parent.glob(f"{_slug(name)}--torch-*.json"))
    return f"; there is {', '.join(found)}, of another version" if found else ""


def _slug(words: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-.") or "unknown"
