"""Memory over the step: bytes alive during each operator, from the lifetimes of a trace."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from rooflight.core.errors import TraceError
from rooflight.core.types import Lifetime, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Where a step needs the most memory, and what fills it."""

    bytes: int
    op: int  # index into Trace.ops
    op_name: str
    by_role: Mapping[str, int]  # bytes alive then, by the role of what holds them; largest first


def timeline(trace: Trace) -> tuple[int, ...]:
    """Bytes alive during each operator, in the order of Trace.ops."""
    change = [0] * (len(trace.ops) + 1)
    for lifetime in trace.lifetimes:
        if not 0 <= lifetime.first_op <= lifetime.last_op < len(trace.ops):
            raise TraceError(
                f"a block lives from operator {lifetime.first_op} to {lifetime.last_op}, the trace has "
                f"{len(trace.ops)}. Trace the model again."
            )
        change[lifetime.first_op] += lifetime.bytes
        change[lifetime.last_op + 1] -= lifetime.bytes
    return tuple(accumulate(change))[:-1]


def alive(trace: Trace, op: int) -> tuple[Lifetime, ...]:
    """The blocks that are alive during one operator."""
    return tuple(lifetime for lifetime in trace.lifetimes if lifetime.first_op <= op <= lifetime.last_op)


def peak(trace: Trace) -> Peak:
    """The first operator at which the most bytes are alive."""
    line = timeline(trace)
    if not line:
        raise TraceError(f"the trace of {trace.workload.model} holds no operator. Trace the model again.")
    op = line.index(max(line))
    by_role: dict[str, int] = {}
    for lifetime in alive(trace, op):
        by_role[lifetime.role] = by_role.get(lifetime.role, 0) + lifetime.bytes
    ordered = dict(sorted(by_role.items(), key=lambda item: -item[1]))
    return Peak(bytes=line[op], op=op, op_name=trace.ops[op].name, by_role=ordered)


def max_batch(small: Trace, large: Trace, memory_bytes: int) -> int | None:
    """The largest batch whose peak fits, from two traces that differ in their batch alone.

    At each operator the bytes alive are fixed + batch · per_sample, so two traces give both, and the smallest of the
    operators' limits is the answer: exact as long as every tensor's size is affine in the batch.
    returns  0 if not even one sample fits; None if memory does not grow with the batch
    raises   TraceError if the traces are not of the same step
    """
    step = large.workload.batch - small.workload.batch
    if step <= 0 or [op.name for op in small.ops] != [op.name for op in large.ops]:
        raise TraceError(
            f"the largest batch needs two traces of the same step, the second at a larger batch; found were "
            f"{len(small.ops)} operators at batch {small.workload.batch}, {len(large.ops)} at {large.workload.batch}. "
            "Try the same model and settings at two batches, the smaller first."
        )
    limits = []
    for low, high in zip(timeline(small), timeline(large), strict=True):
        growth = high - low  # per `step` samples
        room = (memory_bytes - low) * step
        if growth > 0:
            limits.append(max(0, small.workload.batch + room // growth))
        elif room < 0:
            limits.append(0)
    return min(limits, default=None)
