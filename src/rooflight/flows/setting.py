"""The automatic choices of a run, each with its reason, made before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rooflight.core.runs import DataInfo
from rooflight.core.training import DtypeName, TrainConfig
from rooflight.core.types import Machine
from rooflight.flows.roof import device_name

if TYPE_CHECKING:
    import torch

DIGITS = set("0123456789")
BAD_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and how a run happens, as decided before it starts."""

    machine: Machine
    device: torch.device
    dtype: torch.dtype  # of autocast
    precision: DtypeName  # what was chosen, of which autocast's dtype is part
    flip: bool
    settings: tuple[str, ...]  # set for the process
    reasons: tuple[str, ...]
    rank: int = 0  # which replica of the model this process trains
    replicas: int = 1


def decide(config: TrainConfig, data: DataInfo) -> Setting:
    """The automatic choices of a run, each with its reason."""
    from rooflight.hardware.detect import detect
    from rooflight.hardware.process import busy_cores, keep_freed_memory
    from rooflight.train.device import pick_device
    from rooflight.train.precision import pick_precision

    machine = detect()
    device, why_device = pick_device(config.device)
    precision = pick_precision(config.dtype, device, machine.cpu.isa)
    flip, why_flip = pick_flip(config.flip, data.classes)
    return Setting(
        machine=machine,
        device=device,
        dtype=precision.dtype,
        precision=precision.name,
        flip=flip,
        settings=keep_freed_memory() if device.type == "cpu" else (),
        reasons=(
            f"device {device}, {device_name(device, machine)}: {why_device}",
            f"dtype {precision.name}: {precision.reason}",
            *((f"mirror {'on' if flip else 'off'}: {why_flip}",) if data.samples == "images" else ()),
            *(busy_cores() if device.type == "cpu" else ()),
        ),
    )


def resolved(config: TrainConfig, setting: Setting) -> TrainConfig:
    """The configuration with what was chosen in place of "auto", as it is stored and can be fed back in."""
    return replace(config, device=str(setting.device), dtype=setting.precision, flip=setting.flip)


def pick_flip(asked: bool | None, classes: tuple[str, ...]) -> tuple[bool, str]:
    """Whether to mirror images, and why: a mirrored digit or letter is another one, or none."""
    if asked is not None:
        return asked, "as asked"
    if set(classes) <= DIGITS:
        return False, "the classes are digits, or have no names"
    return True, "the classes are not digits"


def describe_data(data: DataInfo) -> str:
    """Source, count and checksum in a line."""
    words = ", ".join(word for word in (data.source, data.licence) if word and word != data.name)
    about = f" ({words})" if words else ""
    return (
        f"data {data.name}{about}: {data.train_count:,} train and {data.test_count:,} test {data.samples}, "
        f"{len(data.classes):,} classes, sha256 {data.sha256[:16]}…"
    )


def describe_bad(data: DataInfo) -> str:
    """How many files were broken, and the first of them; result.json names all."""
    first = ", ".join(bad.name for bad in data.bad[:BAD_SHOWN])
    more = f" and {len(data.bad) - BAD_SHOWN} more" if len(data.bad) > BAD_SHOWN else ""
    return f"{len(data.bad):,} broken files: {first}{more}"
