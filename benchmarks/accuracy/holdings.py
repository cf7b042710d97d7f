"""What a run keeps in memory otherwise than the trace of its model: packed weights, states in float32, copies."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.accuracy.changes import weight_bytes
from rooflight.estimate.holding import Blocks
from rooflight.estimate.table import Array, Index, OpTable

Holding = Callable[[Blocks, OpTable], Blocks]


def packed(blocks: Blocks, table: OpTable, *, bits: float, adapter_rank: int | None = None) -> Blocks:
    """The weights of products in so many bits each, scales included; embedding and head stay as they were.

    table          as traced, its weights not yet packed
    adapter_rank   training: narrow products are adapters, which are not packed, and every other product unpacks its
                   weight to the trace's dtype for as long as it runs, forward and backward
    """
    products = weight_bytes(table) > 0
    products[np.flatnonzero(products & table.phase("forward"))[-1:]] = False  # the head
    if adapter_rank is not None:
        products &= (table.columns != adapter_rank) & (table.depth != adapter_rank)
    whole = np.round(table.batch * table.columns * table.depth * table.item_bytes())
    sizes = np.unique(whole[products & table.phase("forward")])
    is_packed = blocks.having("parameter") & np.isin(blocks.bytes, sizes)
    item = table.item_bytes()[products].max(initial=1.0)
    kept = replace(blocks, bytes=np.where(is_packed, blocks.bytes * bits / 8 / item, blocks.bytes))
    if adapter_rank is None:
        return kept
    # Backward, the sizes of a product are those of the weight in another order: it is known by their product.
    at = np.flatnonzero(products & np.isin(whole, sizes))
    return _beside(kept, whole[at], at, at, "activation")


def with_masters(blocks: Blocks, table: OpTable) -> Blocks:
    """Adam of weights in 16 bits as DeepSpeed keeps it: both moments and the weights again, in float32.

    source  Rajbhandari et al., "ZeRO", SC 2020, section 3.1: 12 bytes a parameter, where the trace has 4
    """
    return replace(blocks, bytes=np.where(blocks.having("optimizer_state"), 3.0 * blocks.bytes, blocks.bytes))


def with_trained_copies(blocks: Blocks, table: OpTable, *, size: float) -> Blocks:
    """Modules of so many bytes trained whole beside adapters (PEFT's modules_to_save): a copy each, gradients, Adam."""
    parts = {"parameter": size, "gradient": size, "optimizer_state": 2.0 * size}
    for role, part in parts.items():
        blocks = _beside(blocks, np.array([part]), np.array([0]), np.array([len(table) - 1]), role)
    return blocks


def in_turn(*holdings: Holding | None) -> Holding:
    """All of them, in this order."""

    def holding(blocks: Blocks, table: OpTable) -> Blocks:
        for one in holdings:
            blocks = blocks if one is None else one(blocks, table)
        return blocks

    return holding


def _beside(blocks: Blocks, sizes: Array, first: Index, last: Index, role: str) -> Blocks:
    return Blocks(
        bytes=np.concatenate((blocks.bytes, sizes)),
        first=np.concatenate((blocks.first, first)),
        last=np.concatenate((blocks.last, last)),
        roles=(*blocks.roles, *(role,) * len(sizes)),
    )
