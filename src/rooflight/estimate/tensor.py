"""One rank's part of a step under tensor parallelism: every operator at the size that is left to it."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel
from rooflight.estimate.layout import Layout, Role
from rooflight.estimate.table import Array, OpTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What the ranks add up along one pass, once for each block's attention and once for its feed-forward part."""

    count: int
    message_bytes: float


def check_tensor(table: OpTable, found: Layout, form: Parallel) -> None:
    """
    raises  ConfigError if the model has no blocks, or fewer heads than ranks
    """
    if (form.tensor > 1 or form.pipeline > 1) and not found.blocks:
        raise ConfigError("tensor and pipeline parallelism need a model of attention blocks, and it has none.")
    if form.pipeline * form.interleave > max(found.blocks, 1):
        raise ConfigError(
            f"a pipeline of {form.pipeline} stages, {form.interleave} pieces each, needs as many blocks; the model has "
            f"{found.blocks}. Try fewer stages."
        )
    count = heads(table, found)
    if form.tensor > 1 and (count is None or count % form.tensor):
        raise ConfigError(f"{count} attention heads do not divide among {form.tensor} GPUs. Try a divisor for tensor.")


def split(table: OpTable, found: Layout, form: Parallel) -> OpTable:
    """The step of one rank: products with fewer columns or a shorter depth, attention of some heads, less to update.

    Norms, dropout and residuals are done whole by every rank, or each on its part of the text (sequence parallel).
    Stages and shards are not cut here: what a rank updates less for them is taken off its step.
    """
    rows, columns, depth = (column.copy() for column in (table.rows, table.columns, table.depth))
    tensor = form.tensor
    products = (found.having(Role.COLUMN) | found.having(Role.ROW)) & (table.rows > 0)
    for index in np.flatnonzero(products):
        size = {"rows": rows, "columns": columns, "depth": depth}[_cut(table, found, int(index))]
        size[index] = np.ceil(size[index] / tensor)
    share = np.ones(len(table))
    for role in (Role.COLUMN, Role.ROW, Role.HEADS, Role.INSIDE, Role.WEIGHT, Role.UPDATE):
        share[found.having(role)] = 1.0 / tensor
    if form.sequence:
        share[found.having(Role.WHOLE)] = 1.0 / tensor
    read, written = share.copy(), share.copy()
    once = np.where(products, table.rows, 1.0)  # a product's sizes; 1 where there is none, so that no share is 0 / 0
    read[products] = (depth * (rows + columns))[products] / (table.depth * (table.rows + table.columns))[products]
    written[products] = (rows * columns)[products] / (once * table.columns)[products]
    return replace(
        table,
        flops=table.flops * share,
        bytes_read=table.bytes_read * read,
        bytes_written=table.bytes_written * written,
        batch=np.where(found.having(Role.HEADS), np.ceil(table.batch / tensor), table.batch),
        rows=rows,
        columns=columns,
        depth=depth,
        read_bytes=table.read_bytes * written[table.read_from],
    )


def exchanges(table: OpTable, found: Layout, phase: str) -> Exchange:
    """All-reduces of a pass: the results of rows forward, the gradients of what columns read backward.

    Sequence parallel moves the same bytes: an all-gather before and a reduce-scatter after.
    """
    rows = found.having(Role.ROW) & table.phase("forward")
    if not rows.any():
        return Exchange(count=0, message_bytes=0.0)
    first = int(np.flatnonzero(rows)[0])
    size = float(table.rows[first] * table.columns[first] * table.item_bytes()[first])
    count = int(rows.sum())
    if phase == "backward":
        return Exchange(count=count + 1 if table.phase("backward").any() else 0, message_bytes=size)  # the head's too
    return Exchange(count=count + 1, message_bytes=size)  # the embedding's too


def _cut(table: OpTable, found: Layout, index: int) -> str:
    """Which size of a product its ranks share."""
    column = found.roles[index] == Role.COLUMN
    if table.phases[index] == "forward":
        return "columns" if column else "depth"
    forward = found.having(Role.ROW) & table.phase("forward")
    width = Counter(table.columns[forward]).most_common(1)[0][0]
    tokens = Counter(table.rows[forward]).most_common(1)[0][0]
    if table.rows[index] == tokens:  # the gradient of its input
        return "depth" if column else "columns"
    return "rows" if table.columns[index] == width else "columns"


def heads(table: OpTable, found: Layout) -> int | None:
    """Heads of a sample's attention; None where there is none."""
    batches: Array = table.batch[found.having(Role.HEADS) & table.phase("forward")]
    return int(batches.min() / table.samples) if len(batches) else None
