"""The largest batch that fits many GPUs, from two traces that differ in their batch alone."""

from dataclasses import dataclass

import numpy as np

from rooflight.core.errors import TraceError
from rooflight.core.types import Trace
from rooflight.estimate.memory import timeline
from rooflight.estimate.table import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Bytes alive at each operator of a step: fixed + batch · per_sample."""

    fixed: Array
    per_sample: Array


def growth(one: Trace, other: Trace) -> Growth:
    """
    raises  TraceError if the traces are not of the same step at two batches
    """
    small, large = sorted((one, other), key=lambda trace: trace.workload.batch)
    step = large.workload.batch - small.workload.batch
    if step == 0 or [op.name for op in small.ops] != [op.name for op in large.ops]:
        raise TraceError(
            f"the largest batch needs two traces of the same step at two batches; found were {len(small.ops)} "
            f"operators at batch {small.workload.batch}, {len(large.ops)} at {large.workload.batch}. Trace the model "
            "again."
        )
    low, high = (np.array(timeline(trace), dtype=float) for trace in (small, large))
    per_sample = (high - low) / step
    return Growth(fixed=low - small.workload.batch * per_sample, per_sample=per_sample)


def largest_batch(grown: Growth, memory_bytes: float) -> int | None:
    """The largest batch whose peak is at most so many bytes; 0 if not even one fits; None if memory does not grow."""
    if (grown.per_sample <= 0).all():
        return None
    growing = grown.per_sample > 0
    if (grown.fixed[~growing] + grown.per_sample[~growing] > memory_bytes).any():
        return 0
    room = (memory_bytes - grown.fixed[growing]) / grown.per_sample[growing]
    return max(0, int(np.floor(room.min())))
