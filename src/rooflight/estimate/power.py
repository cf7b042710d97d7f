"""Watts: what a GPU draws under a load, and what a box of several needs of sockets and cooling.

A GPU draws what it does idle, and on top what it does with: arithmetic, in proportion to how much of what its engines
reach is used, and memory, by the bits that cross it. Their sum is held at the power limit, which long products reach.

There is little public data on power by workload, and nothing here is fitted: the figures are rounded ones of the
sources below. Cards differ, and so do values: the same product of other numbers has drawn up to 67 % more on an A100
(Bhalachandra et al., "Understanding the Impact of Input Entropy on FPU, CPU, and GPU Power", arXiv 2212.08805).
"""

from dataclasses import dataclass

from rooflight.core.types import GpuSpec
from rooflight.estimate.step import Step

# A context alone, clocks up and nothing running, as a share of the TDP: 122 W on an H100 SXM (0.17), 80 W on an A100
# 80GB (0.20), 102 W on an L40S (0.29) (arXiv 2605.23918).
IDLE_SHARE = 0.2

# What arithmetic alone adds at the rate that long products reach. Such products of random values run into the power
# limit of A40, A100 and H100 (blogs.fau.de/adityauj, "Power and frequency characteristics of compute-bound codes",
# 2025-11-15).
ARITHMETIC_SHARE = 1.0 - IDLE_SHARE

# Joules per bit between memory and registers. In the memory and its wires: 4 to 7 pJ for HBM2, 14 for GDDR5 (O'Connor
# et al., "Fine-Grained DRAM", MICRO-50, 2017). On the chip some 5 more: 25 mm of wires at 80 fJ/bit/mm (Arunkumar et
# al., "MCM-GPU", ISCA 2017), the caches and the register file, and a tenth of all lost in the regulators.
HBM_JOULES_PER_BIT = 11e-12
GDDR_JOULES_PER_BIT = 20e-12

# Who has HBM: by what kernels are compiled for (P100, V100, A100, H100, B200, B300; AMD's Vega and CDNA).
HBM_TARGETS = frozenset({"6.0", "7.0", "8.0", "9.0", "10.0", "10.3"})
HBM_AMD = ("gfx900", "gfx906", "gfx908", "gfx90a", "gfx94", "gfx95")

# The machine around the cards (CPU, memory, disks, fans, losses of the power supply), as a share of the cards' TDP: a
# DGX H100 is specified at 10.2 kW with 8 × 700 W of GPUs, a DGX A100 at 6.5 kW with 8 × 400 W. With few cards it is
# never less than a workstation's host.
HOST_SHARE = 0.8
LEAST_HOST_WATTS = 200.0
BTU_PER_HOUR_AND_WATT = 3.412


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A machine with some of these GPUs: what it draws at most, and what carries the heat away."""

    gpus: int
    gpu_watts: float  # all GPUs under this load
    box_watts: float  # GPUs at their TDP and the host: what supply, circuit and cooling must bear
    supply_watts: float  # power supply to buy: at least what the maker recommends for one card
    heat_btu_per_hour: float  # of box_watts
    cooling: str


def draw_watts(spec: GpuSpec, step: Step) -> float | None:
    """Mean draw of one GPU over a step; None where no TDP is published. TDP of a module is the module's."""
    if spec.tdp_watts is None or step.seconds <= 0:
        return None
    arithmetic, moving = (min(1.0, busy / step.seconds) for busy in (step.arithmetic_seconds, step.memory_seconds))
    moved = 8.0 * spec.bytes_per_second * joules_per_bit(spec) * moving
    return min(spec.tdp_watts, spec.tdp_watts * (IDLE_SHARE + ARITHMETIC_SHARE * arithmetic) + moved)


def joules_per_bit(spec: GpuSpec) -> float:
    """What a bit costs on its way from this device's memory, or to it."""
    target = spec.target or ""
    stacked = target in HBM_TARGETS or target.startswith(HBM_AMD)
    return HBM_JOULES_PER_BIT if stacked and not spec.unified_memory else GDDR_JOULES_PER_BIT


def box(spec: GpuSpec, gpus: int, watts: float | None) -> Box | None:
    """The machine for so many GPUs that draw `watts` each; None without a TDP, or for a GPU that is part of one."""
    if spec.tdp_watts is None or watts is None or spec.form_factor in ("module", "laptop", "integrated"):
        return None
    cards = gpus * spec.tdp_watts
    whole = cards + max(LEAST_HOST_WATTS, HOST_SHARE * cards if gpus >= 4 else 0.0)
    first = spec.psu_watts or 0.0
    return Box(
        gpus=gpus,
        gpu_watts=gpus * watts,
        box_watts=whole,
        supply_watts=max(whole, first + (gpus - 1) * spec.tdp_watts),
        heat_btu_per_hour=whole * BTU_PER_HOUR_AND_WATT,
        cooling=_cooling(spec),
    )


def _cooling(spec: GpuSpec) -> str:
    """What the card needs around it, from how it is sold."""
    means = {
        "active": "its own fan, and a case that lets the air out",
        "passive": "the fans of a server that blow through it",
        "liquid": "a liquid loop",
    }
    return ", or ".join(means[kind] for kind in spec.cooling if kind in means) or "not known"
