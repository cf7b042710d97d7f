"""What a run does otherwise than the trace of its model: fewer bits, a part of the work, kernels of a server."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rooflight.estimate.table import ITEM_BYTES, Array, Mask, OpTable

Change = Callable[[OpTable], OpTable]


def weight_bytes(table: OpTable) -> Array:
    """Bytes of the weights that each operator reads, as far as it is a product with some: a column per output."""
    weights = table.batch * table.columns * table.depth * table.item_bytes()
    return np.where(_linear(table), np.minimum(weights, table.bytes_read), 0.0)


def _linear(table: OpTable) -> Mask:
    """Products with weights: of attention the scores are products too, but of two activations."""
    known: Mask = table.kind("matmul") & ~table.named("bmm") & (table.rows > 0)
    return known


def quantized(table: OpTable, *, bits: float, product: str | None = None, unpacked: bool = False) -> OpTable:
    """Weights of so many bits, but those of the last product: a language model's head stays as it was.

    product   the products run in this dtype, their other operand narrowed to it on the way
    unpacked  every product writes its weights out in 16 bits and reads them again before it multiplies
    """
    inner = _linear(table)
    inner[np.flatnonzero(inner)[-1:]] = False
    weights = np.where(inner, weight_bytes(table), 0.0)
    kept = weights * bits / 8 / table.item_bytes()
    read = table.bytes_read - weights + kept + (weights if unpacked else 0.0)
    written = table.bytes_written + (weights if unpacked else 0.0)
    dtypes = table.dtypes
    if product is not None:
        dtypes = tuple(product if changed else dtype for changed, dtype in zip(inner, dtypes, strict=True))
    return replace(table, bytes_read=read, bytes_written=written, dtypes=dtypes)


def narrowed(table: OpTable, *, product: str) -> OpTable:
    """Everything in a narrower dtype, activations too, as runtimes with int8 or float8 kernels do it."""
    share = ITEM_BYTES.get(product, 1) / table.item_bytes()
    chosen = table.kind("convolution", "matmul")
    return replace(
        table,
        bytes_read=table.bytes_read * share,
        bytes_written=table.bytes_written * share,
        read_bytes=table.read_bytes * (share[table.read_by] if len(table.read_by) else 1.0),
        dtypes=tuple(product if changed else dtype for changed, dtype in zip(chosen, table.dtypes, strict=True)),
    )


def routed(table: OpTable, *, tokens: float, chosen: int) -> OpTable:
    """Of a mixture's experts those alone that some token chose: with few tokens they are few.

    Each token chooses so many of E experts, evenly: an expert is left out by all with (1 − chosen / E)^tokens.
    """
    grouped = table.named("grouped_mm")
    experts = np.maximum(table.batch, chosen)
    touched = np.where(grouped, 1.0 - (1.0 - chosen / experts) ** tokens, 1.0)
    weights = np.where(grouped, weight_bytes(table), 0.0)
    # An expert's tokens are a fraction where it has few; a trace rounds it up.
    rows = table.flops / np.maximum(2.0 * table.batch * touched * table.columns * table.depth, 1.0)
    return replace(
        table,
        bytes_read=table.bytes_read - weights * (1.0 - touched),
        batch=table.batch * touched,
        rows=np.where(grouped, rows, table.rows),
    )


def with_prompts(table: OpTable, *, share: float) -> OpTable:
    """A server's step in which so many tokens of new prompts go with each token that is generated (chunked prefill).

    They share its weights, so that all but attention grows as if there were so many more sequences.
    source  Agrawal et al., "Sarathi-Serve", arXiv 2403.02310
    """
    grows = ~table.kind("attention")
    more = np.where(grows, 1.0 + share, 1.0)
    weights = weight_bytes(table)
    return replace(
        table,
        flops=table.flops * more,
        bytes_read=weights + (table.bytes_read - weights) * more,
        bytes_written=table.bytes_written * more,
        read_bytes=table.read_bytes * (more[table.read_by] if len(table.read_by) else 1.0),
        rows=table.rows * more,
    )


def decoding(table: OpTable, *, server: bool, heads: float = 1.0) -> OpTable:
    """Attention of one query per sequence, as kernels for it do it: the cached tokens are spread over the units.

    server  its cache grows where it is, where that of transformers is copied for every token; and its attention is one
            kernel, where transformers multiplies scores and values apart, each with keys and values repeated for every
            head that shares them
    heads   that share keys and values
    source  Dao et al., "Flash-Decoding for long-context inference", 2023
    """
    apart = table.named("bmm") & server
    kinds = tuple("attention" if one else kind for one, kind in zip(apart, table.kinds, strict=True))
    spread = np.where((table.kind("attention") | apart) & (table.rows < 128), 128.0, table.rows)
    repeated = np.zeros(len(table), dtype=bool)
    repeated[table.read_from[apart[table.read_by]]] = True
    grown = (table.named("aten.cat") | repeated & table.kind("copy")) & server
    return replace(
        table,
        kinds=kinds,
        rows=spread,
        bytes_read=np.where(grown, 0.0, table.bytes_read / np.where(apart, heads, 1.0)),
        bytes_written=np.where(grown, 0.0, table.bytes_written),
        read_bytes=np.where(grown[table.read_by], 0.0, table.read_bytes) if len(table.read_by) else table.read_bytes,
    )


def split_columns(table: OpTable, *, gpus: int) -> OpTable:
    """One GPU's part where each holds a part of every weight and of the heads (tensor parallel)."""
    products = table.kind("matmul", "attention") & (table.rows > 0)
    heads = table.kind("attention")
    share = np.where(products, 1.0 / gpus, 1.0)
    return replace(
        table,
        flops=table.flops * share,
        bytes_read=table.bytes_read * share,
        bytes_written=table.bytes_written * share,
        batch=np.where(heads, table.batch / gpus, table.batch),
        columns=np.where(products & ~heads, table.columns / gpus, table.columns),
    )


def split_rows(table: OpTable, *, gpus: int) -> OpTable:
    """One GPU's part where each has all weights and a part of the tokens (sequence parallel)."""
    weights, heads = weight_bytes(table), table.kind("attention")
    return replace(
        table,
        flops=table.flops / gpus,
        bytes_read=weights + (table.bytes_read - weights) / gpus,
        bytes_written=table.bytes_written / gpus,
        read_bytes=table.read_bytes / gpus,
        batch=np.where(heads, table.batch / gpus, table.batch),
        rows=np.where(heads, table.rows, table.rows / gpus),
    )


def one_after_other(*changes: Change | None) -> Change:
    """All of them, in this order."""

    def change(table: OpTable) -> OpTable:
        for one in changes:
            table = table if one is None else one(table)
        return table

    return change
