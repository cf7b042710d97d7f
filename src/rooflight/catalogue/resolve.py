"""A driver's name → the entry. Exact names only: an unknown card is None, never another card that is called alike."""

import re
from collections.abc import Mapping
from functools import cache

from rooflight.catalogue.load import catalogue
from rooflight.catalogue.mig import parent_and_profile, slice_of
from rooflight.core.types import GpuSpec

# Drivers report less than the sticker: ECC takes 1/16 of GDDR6, the firmware some more. An A10G (24 GB) tells 22.1 GiB.
LEAST, MOST = 0.90, 1.02
MARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]", re.IGNORECASE)


def resolve(name: str, *, memory_bytes: int | None = None, units: int | None = None) -> GpuSpec | None:
    """The entry of a name as NVML, torch.cuda (CUDA and ROCm), torch.xpu, macOS or sysfs tells it.

    memory_bytes   what the driver reports; tells cards of one name apart, and a modified one from the original
    units          SMs, CUs, Xe-cores or GPU cores; tells apart what memory does not (Apple, Jetson)
    returns        None if the name is unknown, or several entries are left: `candidates` has them. For a MIG instance
                   ("NVIDIA A100-SXM4-40GB MIG 1g.5gb") its part of the card.
    """
    whole, profile = parent_and_profile(name)
    if profile is not None:
        parent = _one(candidates(whole), units=None)
        return None if parent is None else slice_of(parent, profile, memory_bytes=memory_bytes, units=units)
    return _one(candidates(name, memory_bytes=memory_bytes), units=units)


def candidates(name: str, *, memory_bytes: int | None = None) -> tuple[GpuSpec, ...]:
    """Every entry that the driver calls by this name and whose memory can be what it reports."""
    named = _by_driver_name().get(normal(name), ())
    return tuple(spec for spec in named if memory_bytes is None or may_report(spec, memory_bytes))


def normal(name: str) -> str:
    """Case, runs of blanks and the marks (R), (TM) do not count. Nothing else is forgiven."""
    return " ".join(MARKS.sub("", name).split()).casefold()


def may_report(spec: GpuSpec, memory_bytes: int) -> bool:
    """Whether a driver may tell so much of the entry.

    Unified memory is the machine's, whatever was sold with the entry; small Jetsons still differ by it.
    """
    if spec.unified_memory and spec.family != "Jetson":
        return True
    return LEAST * spec.memory_bytes <= memory_bytes <= MOST * spec.memory_bytes


def _one(found: tuple[GpuSpec, ...], *, units: int | None) -> GpuSpec | None:
    if len(found) > 1 and units is not None:
        found = tuple(spec for spec in found if spec.units == units)
    return found[0] if len(found) == 1 else None


@cache
def _by_driver_name() -> Mapping[str, tuple[GpuSpec, ...]]:
    found: dict[str, list[GpuSpec]] = {}
    for spec in catalogue():
        for name in {normal(name) for name in spec.driver_names}:
            found.setdefault(name, []).append(spec)
    return {name: tuple(specs) for name, specs in found.items()}
