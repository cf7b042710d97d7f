"""Seconds of what GPUs tell each other: the fastest of the algorithms and protocols that NCCL chooses from.

A ring moves every byte over every link: 2·(n − 1) / n of an all-reduce's, half of that for an all-gather or a
reduce-scatter. A tree moves them twice and needs fewer steps. A switch that adds (NVLS) moves them once each way.
Each costs a start, a latency per step, and bytes over what the links reach.

source  NCCL src/graph/tuning.cc (2.27) for the model, latencies, and bandwidths of its protocols
source  Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69(2), 2009
source  Sanders, Speck, Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", 2009
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2
from typing import Literal

from rooflight.estimate.fabric import Fabric

Collective = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"]

# Shares of a link that rings of long messages reach, by generation, chosen by hand so that the rows of 512 MiB and more
# in catalogue/collectives.csv are met (tests/estimate/test_collectives.py says how well); other links as the NVLinks.
RING_SHARE = {"NVLink 3": 0.74, "NVLink 4": 0.78, "NVLink 5": 0.70, "xGMI": 0.75}
RING_SHARE_OF_OTHERS = 0.74
PCIE_SHARE, PCIE_SHARE_OF_MORE = 0.70, 0.42  # of two GPUs; more of them share the way through the host
# Through the host's memory: two A40 without peer access copy 20 GB/s both ways together over PCIe 4.0 x16
# (NVIDIA/nccl-tests issue 74); four L40S whose host has none reduce 5.2 GB/s (catalogue/collectives.csv).
HOST_SHARE, HOST_SHARE_OF_MORE = 0.32, 0.17
NVLS_SHARE = {"NVLink 4": 0.585, "NVLink 5": 0.50}
NVLS_LEAST = 5  # GPUs: H100 and B200 with 4 were measured at a ring's rate
OWN_PART = 0.35  # of a step: every rank moves its own part within its memory, beside the ring's steps

NETWORK_SHARE = 0.9  # of an adapter: headers and flow control; not fitted, nothing public to fit on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Protocol:
    """Latencies in seconds: of starting, and of a step over NVLink, PCIe and the network; share of the bandwidth."""

    base: float
    nvlink: float
    pcie: float
    network: float
    share: float

    def hop(self, kind: str) -> float:
        return self.pcie if kind in ("pcie", "host") else self.nvlink


# LL sends a flag with every 4 bytes of data, LL128 one with every 120, Simple waits for whole chunks.
RING = (
    _Protocol(base=6.6e-6, nvlink=0.6e-6, pcie=1.0e-6, network=2.7e-6, share=0.25),
    _Protocol(base=14.0e-6, nvlink=1.9e-6, pcie=2.5e-6, network=4.0e-6, share=0.92),
    _Protocol(base=8.4e-6, nvlink=3.4e-6, pcie=5.7e-6, network=14.0e-6, share=1.0),
)
TREE = (
    _Protocol(base=6.8e-6, nvlink=0.6e-6, pcie=1.0e-6, network=5.0e-6, share=0.92 / 3.8),
    _Protocol(base=14.0e-6, nvlink=1.25e-6, pcie=1.9e-6, network=8.5e-6, share=0.92 * 120 / 128),
    _Protocol(base=8.4e-6, nvlink=4.0e-6, pcie=4.0e-6, network=14.0e-6, share=0.92),
)
NVLS_SECONDS, NVLS_NETWORK_SECONDS = 25e-6, 14e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Ranks of one collective: `ranks` of them, every `stride`-th GPU; the others' collectives run beside it."""

    ranks: int
    stride: int = 1

    def per_node(self, fabric: Fabric) -> int:
        """How many of the ranks share a machine."""
        return max(1, min(self.ranks, fabric.node // self.stride))

    def nodes(self, fabric: Fabric) -> int:
        """How many machines they are spread over."""
        return ceil(self.ranks / self.per_node(fabric))


@lru_cache(maxsize=65536)
def seconds(collective: Collective, message_bytes: float, group: Group, fabric: Fabric) -> float:
    """
    message_bytes   as nccl-tests counts: of an all-reduce the buffer; of an all-gather the whole that every rank ends
                    with, of a reduce-scatter the whole it starts with; of an all-to-all what a rank sends in all, its
                    own part included; of a send the message
    """
    if group.ranks == 1 or message_bytes <= 0:
        return 0.0
    return min(found for _, found in _ways(collective, message_bytes, group, fabric))


def algorithm(collective: Collective, message_bytes: float, group: Group, fabric: Fabric) -> str:
    """Which way is the fastest: "ring", "tree", "nvls", "direct"."""
    return min(_ways(collective, message_bytes, group, fabric), key=lambda way: way[1])[0]


def bus_bytes_per_second(group: Group, fabric: Fabric) -> float:
    """What a ring of long messages moves per GPU and direction.

    Every GPU of a machine has a part of its adapters, and a ring through k of them crosses by k adapters at once.
    """
    local, inside = group.per_node(fabric), fabric_share(fabric, group.per_node(fabric))
    within = inside * fabric.within(local) if local > 1 else float("inf")
    if group.nodes(fabric) == 1:
        return within
    return min(within, NETWORK_SHARE * local * fabric.network)


def fabric_share(fabric: Fabric, ranks: int) -> float:
    """Share of the links that rings reach."""
    if fabric.kind == "pcie":
        return PCIE_SHARE if ranks == 2 else PCIE_SHARE_OF_MORE
    if fabric.kind == "host":
        return HOST_SHARE if ranks == 2 else HOST_SHARE_OF_MORE
    return next((share for name, share in RING_SHARE.items() if fabric.name.startswith(name)), RING_SHARE_OF_OTHERS)


def _ways(collective: Collective, size: float, group: Group, fabric: Fabric) -> Iterator[tuple[str, float]]:
    if collective in ("all_to_all", "send"):
        yield "direct", _direct(collective, size, group, fabric)
        return
    yield from _rings(collective, size, group, fabric)
    if collective == "all_reduce":
        yield from _trees(size, group, fabric)
        if fabric.adds and group.per_node(fabric) >= NVLS_LEAST:
            yield "nvls", _nvls(size, group, fabric)


def _rings(collective: Collective, size: float, group: Group, fabric: Fabric) -> Iterator[tuple[str, float]]:
    turns = 2 if collective == "all_reduce" else 1
    steps = turns * (group.ranks - 1)
    between = turns * (group.nodes(fabric) - 1)
    bus = bus_bytes_per_second(group, fabric)
    moved = size * (steps + OWN_PART) / group.ranks
    for protocol in RING:
        latency = (steps - between) * protocol.hop(fabric.kind) + between * protocol.network
        yield "ring", protocol.base + latency + moved / (bus * protocol.share)


def _trees(size: float, group: Group, fabric: Fabric) -> Iterator[tuple[str, float]]:
    """Up and down: a chain inside each machine, a double binary tree between them."""
    local, nodes = group.per_node(fabric), group.nodes(fabric)
    bus = bus_bytes_per_second(group, fabric)
    for protocol in TREE:
        latency = 2 * ((local - 1) * protocol.hop(fabric.kind) + ceil(log2(nodes)) * protocol.network)
        yield "tree", protocol.base + latency + 2.0 * size / (bus * protocol.share)


def _nvls(size: float, group: Group, fabric: Fabric) -> float:
    """The switch reads all copies, adds and writes to all: each byte leaves and reaches a GPU once.

    Between machines a tree carries each GPU's part.
    """
    share = next(
        (share for name, share in NVLS_SHARE.items() if fabric.name.startswith(name)), min(NVLS_SHARE.values())
    )
    rate = share * fabric.bytes_per_second
    local, nodes = group.per_node(fabric), group.nodes(fabric)
    if nodes == 1:
        return NVLS_SECONDS + size / rate
    between = NETWORK_SHARE * local * fabric.network / 2.0
    return NVLS_SECONDS + 2 * ceil(log2(nodes)) * NVLS_NETWORK_SECONDS + size / min(rate, between)


def _direct(collective: Collective, size: float, group: Group, fabric: Fabric) -> float:
    """Every rank to every other at once, or one to its neighbour: over the links inside, the adapters outside."""
    local, nodes = group.per_node(fabric), group.nodes(fabric)
    link = fabric.within(local) if collective == "all_to_all" else (fabric.pair or fabric.bytes_per_second)
    inside = fabric_share(fabric, local) * link
    start = RING[0].base + (RING[2].network if nodes > 1 else RING[2].hop(fabric.kind))
    if collective == "send":
        return start + size / (inside if nodes == 1 else NETWORK_SHARE * fabric.network)
    near = size * (local - 1 + OWN_PART) / group.ranks / inside
    far = size * (group.ranks - local) / group.ranks / (NETWORK_SHARE * fabric.network)
    return start + max(near, far)
