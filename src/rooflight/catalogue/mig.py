"""MIG: an instance of a card, as the driver names it, as a part of the card's entry."""

import re
from collections.abc import Mapping
from dataclasses import replace

from rooflight.core.types import GpuSpec

NAME = re.compile(r"(?P<card>.+) MIG (?P<compute>\d)g\.(?P<memory>\d+)gb(?:\+\S+)?", re.IGNORECASE | re.ASCII)
Layout = Mapping[int, tuple[int, ...]]
# NVIDIA Multi-Instance GPU User Guide, "Supported MIG Profiles": eighths of the memory that go with so many compute
# slices. Cards of seven slices have two profiles with one: 1g.10gb and 1g.20gb on 80 GB.
SEVEN_SLICES: Layout = {1: (1, 2), 2: (2,), 3: (4,), 4: (4,), 7: (8,)}
FOUR_SLICES: Layout = {1: (2,), 2: (4,), 4: (8,)}
LAYOUTS: Mapping[str, Layout] = {
    "8.0": SEVEN_SLICES,
    "9.0": SEVEN_SLICES,
    "10.0": SEVEN_SLICES,
    "10.3": SEVEN_SLICES,
    "12.0": FOUR_SLICES,
}
A30 = ("8.0", 56)
# SMs by compute slices, for cards of one compute capability with so many SMs (recalled). What is not here (H100 PCIe,
# H20, Blackwell) is known only where the driver tells.
SMS = {
    ("8.0", 108): {1: 14, 2: 28, 3: 42, 4: 56, 7: 98},
    A30: {1: 14, 2: 28, 4: 56},
    ("9.0", 132): {1: 16, 2: 32, 3: 60, 4: 64, 7: 132},
}
# How far the GB of a profile's name may be from its eighths of the card, and what the driver reports below and above.
NAME_OFF = 0.10
LEAST, MOST = 0.88, 1.02  # the driver keeps some of each instance: 16 GiB of an H200's eighth


def parent_and_profile(name: str) -> tuple[str, tuple[int, int] | None]:
    """ "NVIDIA A100-SXM4-40GB MIG 1g.5gb" → ("NVIDIA A100-SXM4-40GB", (1, 5)); another name → (name, None)."""
    match = NAME.fullmatch(" ".join(name.split()))
    return (name, None) if match is None else (match["card"], (int(match["compute"]), int(match["memory"])))


def slice_of(card: GpuSpec, profile: tuple[int, int], *, memory_bytes: int | None, units: int | None) -> GpuSpec | None:
    """The part of the card that an instance is; None for a profile that the card does not have, or of unknown SMs.

    profile        compute slices and GB of memory, as in "1g.5gb"
    memory_bytes   of the instance, where the driver tells; else the profile's
    units          of the instance, where the driver tells; else by SMS
    returns        rates in proportion to the SMs, bandwidth and L2 to the memory, which is dealt out in eighths; no
                   Rate is sure. NVLink and PCIe peer-to-peer do not work between instances, so no links but PCIe.
    """
    compute, memory_gb = profile
    if card.units is None or card.target is None:
        return None
    kind = (card.target, card.units)
    sms = units or SMS.get(kind, {}).get(compute)
    layout = FOUR_SLICES if kind == A30 else LAYOUTS.get(card.target, {})
    eighths = _eighths(card, layout.get(compute, ()), memory_gb, memory_bytes)
    if sms is None or sms > card.units or eighths is None:
        return None
    share = sms / card.units
    note = f"{sms} of {card.units} SMs"
    return replace(
        card,
        name=f"{card.name} MIG {compute}g.{memory_gb}gb",
        driver_names=(),
        memory_bytes=memory_bytes or memory_gb * 2**30,
        bytes_per_second=card.bytes_per_second * eighths / 8,
        flops_per_second={dtype: rate * share for dtype, rate in card.flops_per_second.items()},
        rates=tuple(
            replace(rate, flops_per_second=rate.flops_per_second * share, sure=False, note=note) for rate in card.rates
        ),
        units=sms,
        l2_bytes=card.l2_bytes * eighths // 8 if card.l2_bytes else None,
        tdp_watts=None,
        launch_usd=None,
        links=tuple(link for link in card.links if link.name.startswith("PCIe")),
        conflicts=(*card.conflicts, f"a MIG instance: {note}, {eighths}/8 of the memory's bandwidth, by proportion"),
    )


def _eighths(card: GpuSpec, choices: tuple[int, ...], memory_gb: int, memory_bytes: int | None) -> int | None:
    """The eighths of the card's memory that a profile of this name has; None if none of the choices is of that size."""
    for eighths in choices:
        share = card.memory_bytes * eighths / 8
        named = abs(memory_gb * 2**30 / share - 1) <= NAME_OFF
        if named and (memory_bytes is None or LEAST <= memory_bytes / share <= MOST):
            return eighths
    return None
