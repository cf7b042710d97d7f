"""Time, from a trace and measured rates: the roofline, operator by operator, or better where operators were timed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

from rooflight.core.errors import SpecError, TraceError
from rooflight.core.types import Estimate, GpuSpec, Op, TimedKernels, Trace
from rooflight.core.units import show_bytes, show_percent, show_seconds

PRODUCTS = frozenset({"convolution", "matmul", "attention", "recurrent"})  # the model FLOPs that MFU counts

MEMORY = "memory is what tensors hold: no CUDA context, no workspace inside an operator, no fragmentation"

BOUNDS = ("compute", "memory", "launch")  # of equals the first is named


def op_seconds(op: Op, spec: GpuSpec) -> tuple[float, str]:
    """Least time one operator can take, and what sets it: "compute", "memory" or "launch" (the roofline).

    raises  SpecError if the operator computes in a dtype that the spec has no rate for
    source  Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009
    """
    parts = _parts(op, spec)
    bound = max(BOUNDS, key=parts.__getitem__)
    return parts[bound], bound


def estimate(trace: Trace, spec: GpuSpec, *, asynchronous: bool = True) -> Estimate:
    """What the device makes of one step of the trace.

    asynchronous  True for a GPU: the host issues operators while the device works, so the step takes the longer of the
                  two. False for a CPU, where the thread that issues an operator also runs it: the times add up
    returns       samples_per_second between low (nothing overlaps: compute, memory and launch of every operator add
                  up) and high (everything overlaps across the whole step: the largest of the three sums); the rates
                  are taken as reached, so kernels that fall short of them can be slower than low. Where the device's
                  kernels were timed (spec.timed), the step is the sum of what they take, between low and high in
                  eight of ten networks
    raises        SpecError for a dtype that the spec lacks, TraceError for a trace without work
    """
    step = _step(trace.ops, spec, asynchronous)
    if not step.seconds:
        raise TraceError(f"the trace of {trace.workload.model} holds no work to time. Trace the model again.")
    notes = _assumptions(trace, spec, asynchronous)
    if spec.timed is not None:
        step, notes = _timed_step(trace, spec, spec.timed, step, asynchronous)
    batch = trace.workload.batch
    return Estimate(
        gpu=spec.name,
        fits=trace.peak_bytes <= spec.memory_bytes,
        peak_bytes=trace.peak_bytes,
        step_seconds=step.seconds,
        samples_per_second=batch / step.seconds,
        low=batch / step.longest,
        high=batch / step.shortest,
        bound_by=step.bound,
        mfu=_mfu(trace, spec, step.seconds),
        assumptions=(*notes, *_uncosted(trace)),
    )


@dataclass(frozen=True, slots=True)
class _Step:
    seconds: float
    shortest: float
    longest: float
    bound: str


def _step(ops: Sequence[Op], spec: GpuSpec, asynchronous: bool) -> _Step:
    """The step's time, its bounds, and what the largest share of it waits for. fsum: the order of ops is no matter."""
    alone = [_parts(op, spec) for op in ops]
    sums = {name: fsum(parts[name] for parts in alone) for name in BOUNDS}
    worker = replace(spec, launch_seconds=None)
    bounded = [op_seconds(op, worker) for op in ops]
    shares = {name: fsum(seconds for seconds, bound in bounded if bound == name) for name in BOUNDS}
    worked = fsum(seconds for seconds, _ in bounded)
    if not asynchronous:
        shares["launch"] = sums["launch"]
        worked += sums["launch"]
    seconds, bound = worked, max(BOUNDS, key=shares.__getitem__)
    if asynchronous and sums["launch"] > worked:
        seconds, bound = sums["launch"], "launch"
    # Rounding may part equal sums in the last digit; the range holds the value all the same.
    return _Step(seconds, min(seconds, max(sums.values())), max(seconds, fsum(sums.values())), bound)


def _timed_step(
    trace: Trace, spec: GpuSpec, timed: TimedKernels, roofline: _Step, asynchronous: bool
) -> tuple[_Step, list[str]]:
    """The sum of what the operators take as the device was seen to run their like; and what that rests on."""
    from rooflight.estimate.measured import measured_seconds

    each, unknown = measured_seconds(trace.ops, spec, timed.kernels)
    seconds, bound = fsum(each), roofline.bound
    issued = len(trace.ops) * (spec.launch_seconds or 0.0)
    if asynchronous and issued > seconds:
        seconds, bound = issued, "launch"
    notes = [
        f"operators take what ones like them took on {spec.name} ({spec.source}) in {timed.networks} random networks; "
        f"steps of networks that were held out were off by {show_percent(timed.median_error)} (median)",
        MEMORY,
    ]
    if unknown:
        names = ", ".join(sorted({op.name for op in unknown}))
        notes.append(f"of operators that none of these networks had, the least time is taken: {names}")
    shortest, longest = seconds / max(1.0, timed.high), seconds / min(1.0, timed.low)
    return _Step(seconds, shortest, longest, bound), notes


def _parts(op: Op, spec: GpuSpec) -> dict[str, float]:
    """Seconds that one operator would take for its arithmetic, its bytes and its launch alone."""
    return {
        "compute": op.flops / _rate(op, spec) if op.flops else 0.0,
        "memory": (op.bytes_read + op.bytes_written) / spec.bytes_per_second,
        "launch": spec.launch_seconds or 0.0,
    }


def _rate(op: Op, spec: GpuSpec) -> float:
    """What the spec says of this kind of operator, else of its dtype."""
    dtype = op.dtype
    if dtype in (measured := spec.kind_flops_per_second.get(op.kind, {})):
        return measured[dtype]
    if dtype not in spec.flops_per_second:
        known = ", ".join(sorted(spec.flops_per_second)) or "none"
        raise SpecError(
            f"{spec.name} has no FLOP/s for {dtype}, which the trace computes in; its specification has: {known}. "
            "Try one of these dtypes, or another device."
        )
    return spec.flops_per_second[dtype]


def _mfu(trace: Trace, spec: GpuSpec, seconds: float) -> float | None:
    """FLOPs of the matrix products and convolutions, over what the device could do in that time."""
    rate = spec.flops_per_second.get(trace.workload.dtype)
    return sum(op.flops for op in trace.ops if op.kind in PRODUCTS) / (seconds * rate) if rate else None


def _assumptions(trace: Trace, spec: GpuSpec, asynchronous: bool) -> list[str]:
    """What the figures rest on, a sentence each."""
    lines = [
        f"the rates of {spec.name} are reached ({spec.source}), and every operator moves its bytes once",
        "low adds up compute, memory and launch of each operator; high overlaps them across the whole step",
        MEMORY,
    ]
    if spec.launch_seconds is None:
        lines.append("the time to issue an operator is not known and taken as zero: small batches look too fast")
    elif asynchronous:
        lines.append(
            f"the host issues an operator every {show_seconds(spec.launch_seconds)} while the device works; "
            "the step takes the longer of the two"
        )
    else:
        lines.append(f"the thread that works also issues the operators, {show_seconds(spec.launch_seconds)} each")
    return lines


def _uncosted(trace: Trace) -> list[str]:
    unknown = [op for op in trace.ops if not op.costed]
    if not unknown:
        return []
    moved = sum(op.bytes_read + op.bytes_written for op in unknown)
    share = moved / trace.bytes if trace.bytes else 0.0
    names = ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(op.name for op in unknown).items()))
    return [
        f"operators without a cost rule count their bytes alone ({show_bytes(moved)}, {show_percent(share)} of the "
        f"step's bytes): {names}"
    ]
