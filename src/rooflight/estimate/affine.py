"""Traces of every batch from two: what a step asks for grows by the same amount with every sample."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rooflight.core.errors import ConfigError, TraceError
from rooflight.core.types import Lifetime, Op, Trace
from rooflight.estimate.memory import timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFamily:
    """The traces of one step at every batch: the smallest, and by how much each of its numbers grows."""

    base: Trace
    samples: int  # the growth is for so many samples more
    op_growth: tuple[tuple[int, ...], ...]  # of each op: FLOPs, bytes read and written, product, bytes of each input
    lifetime_growth: tuple[int, ...]  # of each block: bytes
    not_affine: tuple[str, ...] = ()  # what the third trace had otherwise; empty: every batch is exact

    def __post_init__(self) -> None:
        ops = [len(numbers) for numbers in _numbers(self.base.ops)]
        if self.samples < 1 or ops != list(map(len, self.op_growth)):
            raise ConfigError("the trace of every batch does not say of each operator how it grows. Trace again.")
        if len(self.lifetime_growth) != len(self.base.lifetimes):
            raise ConfigError("the trace of every batch does not say of each block how it grows. Trace again.")


def family(small: Trace, large: Trace, check: Trace) -> TraceFamily:
    """The family of three traces that differ in their batch alone; the third tells whether two were enough.

    raises  TraceError if the traces are not of the same step
    """
    for other in (large, check):
        _same_step(small, other)
    if not small.workload.batch < large.workload.batch:
        raise TraceError(f"a family starts at the smaller batch: found {small.workload.batch}, {large.workload.batch}.")
    numbers = [_numbers(trace.ops) for trace in (small, large)]
    found = TraceFamily(
        base=small,
        samples=large.workload.batch - small.workload.batch,
        op_growth=tuple(
            tuple(high - low for low, high in zip(*pair, strict=True)) for pair in zip(*numbers, strict=True)
        ),
        lifetime_growth=tuple(
            high.bytes - low.bytes for low, high in zip(small.lifetimes, large.lifetimes, strict=True)
        ),
    )
    return replace(found, not_affine=_differences(at_batch(found, check.workload.batch), check))


def at_batch(family: TraceFamily, batch: int) -> Trace:
    """The trace at that batch; raises ConfigError for a batch that does not divide into its micro-batches."""
    workload = replace(family.base.workload, batch=batch)
    if batch < 1 or batch % workload.accumulation:
        raise ConfigError(
            f"a batch of {batch} does not divide into {workload.accumulation} equal micro-batches. Try a multiple."
        )
    more = batch - family.base.workload.batch
    ops = tuple(
        _grown(op, [growth * more // family.samples for growth in growths])
        for op, growths in zip(family.base.ops, family.op_growth, strict=True)
    )
    lifetimes = tuple(
        replace(block, bytes=block.bytes + growth * more // family.samples)
        for block, growth in zip(family.base.lifetimes, family.lifetime_growth, strict=True)
    )
    trace = replace(
        family.base,
        workload=workload,
        flops=sum(op.flops for op in ops),
        bytes=sum(op.bytes_read + op.bytes_written for op in ops),
        ops=ops,
        lifetimes=lifetimes,
    )
    return replace(trace, peak_bytes=max(timeline(trace)))


def _numbers(ops: Iterable[Op]) -> list[tuple[int, ...]]:
    """What of each op may grow with the batch, in the order of TraceFamily.op_growth."""
    return [
        (op.flops, op.bytes_read, op.bytes_written, *(op.product or ()), *(size for _, size in op.inputs)) for op in ops
    ]


def _grown(op: Op, growth: list[int]) -> Op:
    flops, read, written, *rest = (number + more for number, more in zip(_numbers([op])[0], growth, strict=True))
    batch, m, n, k = rest[:4] if op.product else (0, 0, 0, 0)
    sizes = rest[4:] if op.product else rest
    return replace(
        op,
        flops=flops,
        bytes_read=read,
        bytes_written=written,
        product=(batch, m, n, k) if op.product else None,
        inputs=tuple((index, size) for (index, _), size in zip(op.inputs, sizes, strict=True)),
    )


def _same_step(one: Trace, other: Trace) -> None:
    """Raises TraceError unless the two do the same with tensors of other sizes."""
    same_work = replace(other.workload, batch=one.workload.batch) == one.workload
    if not same_work or _outline(one.ops) != _outline(other.ops) or _spans(one.lifetimes) != _spans(other.lifetimes):
        raise TraceError(
            f"the traces of {one.workload.model} at batch {one.workload.batch} and of {other.workload.model} at "
            f"{other.workload.batch} are not of the same step: {len(one.ops)} and {len(other.ops)} operators. "
            "Try the same model and settings at batches of 2 and more."
        )


def _outline(ops: Iterable[Op]) -> list[tuple[str, str, str, bool, tuple[int, ...]]]:
    return [(op.name, op.phase, op.dtype, op.product is None, tuple(index for index, _ in op.inputs)) for op in ops]


def _spans(lifetimes: Iterable[Lifetime]) -> list[tuple[int, int, str]]:
    return [(block.first_op, block.last_op, block.role) for block in lifetimes]


def _differences(expected: Trace, found: Trace) -> tuple[str, ...]:
    """The operators whose numbers, and the roles whose bytes, the two traces do not share: with how many of each."""
    pairs = zip(expected.ops, found.ops, strict=True)
    names = [one.name for one, other in pairs if one != other]
    blocks = zip(expected.lifetimes, found.lifetimes, strict=True)
    roles = [f"memory of {one.role}" for one, other in blocks if one != other]
    return tuple(f"{name} ×{count}" for name, count in sorted(Counter(names + roles).items()))
