"""What one GPU of several holds: the blocks of a step's memory, at the size that its form leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rooflight.core.parallel import Parallel
from rooflight.core.types import Lifetime
from rooflight.estimate.layout import Layout, Role
from rooflight.estimate.parallel import Weights
from rooflight.estimate.pipeline import blocks_of_stages
from rooflight.estimate.table import Array, Index, Mask, OpTable

STATE = {  # sharding → the roles that a data-parallel rank keeps a part of
    "none": (),
    "optimizer": ("optimizer_state",),
    "gradients": ("optimizer_state", "gradient"),
    "parameters": ("optimizer_state", "gradient", "parameter"),
}
GATHERED_UNITS = 2  # whole at a time: the one at work and the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Blocks of memory as columns: bytes, first and last operator, role."""

    bytes: Array
    first: Index
    last: Index
    roles: tuple[str, ...]

    def having(self, *roles: str) -> Mask:
        """Which blocks have one of these roles."""
        return _having(self.roles, roles)


@lru_cache(maxsize=256)
def _having(found: tuple[str, ...], wanted: tuple[str, ...]) -> Mask:
    return np.array([role in wanted for role in found], dtype=bool)


def blocks_of(lifetimes: Sequence[Lifetime]) -> Blocks:
    """The columns of a trace's lifetimes."""
    return Blocks(
        bytes=np.array([block.bytes for block in lifetimes], dtype=float),
        first=np.array([block.first_op for block in lifetimes], dtype=np.int64),
        last=np.array([block.last_op for block in lifetimes], dtype=np.int64),
        roles=tuple(block.role for block in lifetimes),
    )


def held(blocks: Blocks, table: OpTable, found: Layout, form: Parallel, weights: Weights) -> Blocks:
    """The blocks of the GPU that holds most: the first stage of a pipeline, which has the most micro-batches open.

    blocks, table   of one micro-batch of one replica, whole
    source   Rajbhandari et al., "ZeRO", SC 2020, for what each stage of sharding keeps; Narayanan et al., SC 2021, for
             the micro-batches that a stage of 1F1B keeps open: as many as stages are behind it, itself included
    """
    share = np.ones(len(blocks.bytes))
    cut = 1.0 / (form.tensor * form.pipeline)
    share[blocks.having("parameter", "gradient", "optimizer_state", "kv_cache")] = cut
    share[blocks.having(*STATE[form.sharding])] /= form.shards
    share[blocks.having("activation")] = _activations(blocks, table, found, form)[blocks.having("activation")]
    more = _beside(form, weights, found)
    always = np.zeros(len(more), dtype=np.int64)
    return Blocks(
        bytes=np.concatenate((blocks.bytes * share, np.array(list(more.values()), dtype=float))),
        first=np.concatenate((blocks.first, always)),
        last=np.concatenate((blocks.last, always + len(table) - 1)),
        roles=(*blocks.roles, *more),
    )


def peak_by_role(blocks: Blocks, operators: int) -> Mapping[str, float]:
    """Bytes of each role at the moment when all together are most."""
    change = np.zeros(operators + 1)
    np.add.at(change, blocks.first, blocks.bytes)
    np.add.at(change, blocks.last + 1, -blocks.bytes)
    moment = int(np.argmax(np.cumsum(change[:operators])))
    alive = (blocks.first <= moment) & (blocks.last >= moment)
    found: dict[str, float] = {}
    for role in dict.fromkeys(blocks.roles):
        found[role] = float(blocks.bytes[alive & blocks.having(role)].sum())
    return found


def _activations(blocks: Blocks, table: OpTable, found: Layout, form: Parallel) -> Array:
    """Share of each block, as of an activation: by what wrote it, and by how many are kept for backward."""
    made_by = found.roles[np.minimum(blocks.first, len(table) - 1)]
    parts = [Role.HEADS, Role.INSIDE, Role.COLUMN, Role.WEIGHT]
    if form.sequence:
        parts += [Role.WHOLE, Role.ROW]
    share = np.where(np.isin(made_by, parts), 1.0 / form.tensor, 1.0)
    if form.sharding == "parameters":  # the copy of a weight is the gathered one, which is counted apart
        share[made_by == Role.WEIGHT] = 0.0
    forward, backward = table.phase("forward"), table.phase("backward")
    kept = forward[blocks.first] & backward[blocks.last]
    if form.pipeline > 1:
        share[kept] *= _open(form) * max(blocks_of_stages(found.blocks, form.pipeline)) / found.blocks
    return share


def _open(form: Parallel) -> float:
    """Micro-batches whose activations the first stage keeps; pieces far apart keep (p − 1) / (v · p) more."""
    more = (form.pipeline - 1) / (form.pipeline * form.interleave) if form.interleave > 1 else 0.0
    return min(form.pipeline, form.micro_batches) * (1.0 + more)


def _beside(form: Parallel, weights: Weights, found: Layout) -> dict[str, float]:
    """What the form itself needs: units of weights gathered whole, or the buckets that gradients are copied to."""
    if form.data == 1:
        return {}
    cut = form.tensor * form.pipeline
    if form.sharding == "parameters":
        units = max(found.blocks, round(weights.parameters / 1e8), 1)
        return {"parameter": (GATHERED_UNITS * weights.gathered + weights.reduced) / units / cut}
    return {"gradient": weights.reduced / cut} if form.sharding == "none" else {}
