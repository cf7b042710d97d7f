"""A trace as columns: one numpy array per property of an operator, so that a formula is one line for all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflight.core.errors import TraceError
from rooflight.core.types import Op, Trace

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "int64": 8,
    "int32": 4,
    "bfloat16": 2,
    "float16": 2,
    "float8": 1,
    "int8": 1,
    "uint8": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpTable:
    """The operators of one step. Each column has one entry per operator; `read_*` one per tensor read from another.

    batch, rows, columns, depth   of the matrix product that an operator is, as Op.product has them; 0: it is none
    inner                         copies of that product that the operator does: 2 for a convolution's two gradients
    """

    samples: float
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    phases: tuple[str, ...]
    dtypes: tuple[str, ...]
    flops: Array
    bytes_read: Array
    bytes_written: Array
    batch: Array
    rows: Array
    columns: Array
    depth: Array
    read_by: Index
    read_from: Index
    read_bytes: Array

    def __len__(self) -> int:
        return len(self.names)

    @property
    def bytes(self) -> Array:
        return self.bytes_read + self.bytes_written

    def kind(self, *kinds: str) -> Mask:
        """Which operators are of one of these kinds."""
        return _among(self.kinds, kinds)

    def phase(self, phase: str) -> Mask:
        """Which operators belong to one phase of the step."""
        return _among(self.phases, (phase,))

    def named(self, *parts: str) -> Mask:
        """Which operators have one of these parts in their name."""
        return _holding(self.names, parts)

    def dtype(self, dtype: str) -> Mask:
        """Which operators compute in a dtype."""
        return _among(self.dtypes, (dtype,))

    def dtypes_of(self, kind: str) -> tuple[str, ...]:
        """The dtypes that operators of a kind compute in."""
        return _dtypes_of(self.kinds, self.dtypes, kind)

    def item_bytes(self) -> Array:
        """Bytes of one element of what each operator computes in."""
        return _item_bytes(self.dtypes)


def table(trace: Trace) -> OpTable:
    """The columns of a trace."""
    ops = trace.ops
    reads = [(index, source, size) for index, op in enumerate(ops) for source, size in op.inputs]
    products = [op.product or (0, 0, 0, 0) for op in ops]
    return OpTable(
        samples=float(trace.workload.batch),
        names=tuple(op.name for op in ops),
        kinds=tuple(op.kind for op in ops),
        phases=tuple(op.phase for op in ops),
        dtypes=tuple(op.dtype for op in ops),
        flops=_column(ops, "flops"),
        bytes_read=_column(ops, "bytes_read"),
        bytes_written=_column(ops, "bytes_written"),
        batch=np.array([product[0] for product in products], dtype=float),
        rows=np.array([product[1] for product in products], dtype=float),
        columns=np.array([product[2] for product in products], dtype=float),
        depth=np.array([product[3] for product in products], dtype=float),
        read_by=np.array([by for by, _, _ in reads], dtype=np.int64),
        read_from=np.array([source for _, source, _ in reads], dtype=np.int64),
        read_bytes=np.array([size for _, _, size in reads], dtype=float),
    )


def at_batch(small: OpTable, large: OpTable, samples: float) -> OpTable:
    """The table of another batch, from two that differ in their batch alone: every column is affine in it.

    raises  TraceError if the two are not of the same step
    """
    if small.names != large.names or small.samples == large.samples or len(small.read_by) != len(large.read_by):
        raise TraceError(
            f"a table for another batch needs two of the same step at two batches; found were {len(small)} operators "
            f"at batch {small.samples:g} and {len(large)} at {large.samples:g}. Trace the model at the batch asked for."
        )
    share = (samples - small.samples) / (large.samples - small.samples)
    changed: dict[str, Any] = {
        name: getattr(small, name) + share * (getattr(large, name) - getattr(small, name))
        for name in (field.name for field in fields(OpTable))
        if name in _AFFINE
    }
    return replace(small, samples=samples, **changed)


_AFFINE = frozenset({"flops", "bytes_read", "bytes_written", "batch", "rows", "columns", "depth", "read_bytes"})


def _column(ops: Sequence[Op], name: str) -> Array:
    return np.array([getattr(op, name) for op in ops], dtype=float)


# A step has a thousand operators and a few kinds: masks are kept, for one table is asked the same again and again.


@lru_cache(maxsize=4096)
def _among(found: tuple[str, ...], wanted: tuple[str, ...]) -> Mask:
    return np.array([value in wanted for value in found], dtype=bool)


@lru_cache(maxsize=4096)
def _holding(names: tuple[str, ...], parts: tuple[str, ...]) -> Mask:
    return np.array([any(part in name for part in parts) for name in names], dtype=bool)


@lru_cache(maxsize=4096)
def _dtypes_of(kinds: tuple[str, ...], dtypes: tuple[str, ...], kind: str) -> tuple[str, ...]:
    return tuple(sorted({dtype for found, dtype in zip(kinds, dtypes, strict=True) if found == kind}))


@lru_cache(maxsize=1024)
def _item_bytes(dtypes: tuple[str, ...]) -> Array:
    return np.array([ITEM_BYTES.get(dtype, 4) for dtype in dtypes], dtype=float)


def without_phase(table: OpTable, phase: str) -> OpTable:
    """The step without one of its phases, which must be the last one: its indices stay what they are."""
    kept = [found != phase for found in table.phases]
    count = sum(kept)
    if not all(kept[:count]):
        raise TraceError(f"the phase {phase} is not the last of the step, so that nothing can be cut off there.")
    inner = (table.read_by < count) & (table.read_from < count)
    cut = {field.name: getattr(table, field.name)[:count] for field in fields(OpTable) if field.name not in _OTHER}
    return replace(
        table,
        **cut,
        read_by=table.read_by[inner],
        read_from=table.read_from[inner],
        read_bytes=table.read_bytes[inner],
    )


def joined(tables: Sequence[OpTable]) -> OpTable:
    """Several steps one after the other, to be worked out in one go. They read nothing from each other."""
    offsets = np.cumsum([0, *map(len, tables)])[:-1]
    columns: dict[str, Any] = {}
    for name in (field.name for field in fields(OpTable)):
        parts = [getattr(one, name) for one in tables]
        if name in ("read_by", "read_from"):
            parts = [part + offset for part, offset in zip(parts, offsets, strict=True)]
        if name == "samples":
            columns[name] = sum(parts)
        else:
            columns[name] = tuple(chain(*parts)) if isinstance(parts[0], tuple) else np.concatenate(parts)
    return OpTable(**columns)


_OTHER = frozenset({"samples", "read_by", "read_from", "read_bytes"})
