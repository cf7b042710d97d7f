"""MIG: an instance of a card, as the driver names it, as a part of the card's entry."""

import re
from dataclasses import replace

from rooflight.core.types import GpuSpec

NAME = re.compile(r"(?P<card>.+) MIG (?P<compute>\d)g\.(?P<memory>\d+)gb(?:\+\S+)?", re.IGNORECASE)
# SMs of one compute slice. A100, A30: 14. H100, H200: 16, a 3g instance gets 60 of 132 and 7g all.
# NVIDIA Multi-Instance GPU User Guide, "Supported MIG Profiles" (recalled).
SMS_OF_SLICE = {"8.0": 14, "9.0": 16}


def parent_and_profile(name: str) -> tuple[str, tuple[int, int] | None]:
    """ "NVIDIA A100-SXM4-40GB MIG 1g.5gb" → ("NVIDIA A100-SXM4-40GB", (1, 5)); another name → (name, None)."""
    match = NAME.fullmatch(" ".join(name.split()))
    return (name, None) if match is None else (match["card"], (int(match["compute"]), int(match["memory"])))


def slice_of(card: GpuSpec, profile: tuple[int, int], *, memory_bytes: int | None, units: int | None) -> GpuSpec | None:
    """The part of the card that an instance is; None for a card whose slices are not known.

    profile        compute slices and GB of memory, as in "1g.5gb"
    memory_bytes   of the instance, where the driver tells; else the profile's
    units          of the instance, where the driver tells; else slices × the SMs of one
    returns        rates in proportion to the SMs, bandwidth and L2 to the memory, which is dealt out in eighths; no
                   Rate is sure. NVLink and PCIe peer-to-peer do not work between instances, so no links but PCIe.
    """
    compute, memory_gb = profile
    sms = units or (SMS_OF_SLICE[card.target] * compute if card.target in SMS_OF_SLICE else None)
    if sms is None or card.units is None or sms > card.units:
        return None
    share = sms / card.units
    eighths = max(1, round(8 * memory_gb * 2**30 / card.memory_bytes))
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
