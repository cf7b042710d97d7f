"""What a catalogued GPU makes of a trace: the fitted model's front door. roofline.estimate serves measured roofs."""

from collections import Counter

from rooflight.core.errors import TraceError
from rooflight.core.types import Estimate, GpuSpec, Trace
from rooflight.core.units import show_bytes, show_percent, show_seconds
from rooflight.estimate.device import device, matrix_rate
from rooflight.estimate.footprint import Footprint, footprint
from rooflight.estimate.kernels import PRODUCT_KINDS
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares, interval_class, load_shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import table


def predict(trace: Trace, spec: GpuSpec, setting: Setting | None = None, shares: Shares | None = None) -> Estimate:
    """The step of a trace on one GPU that need not be at hand.

    setting   how it is run; None: as the trace's workload says, eager, on a current torch
    shares    the fitted figures; None: those that come with the package
    returns   low and high hold four of five measurements on GPUs that the fit had not seen, by its own held-out rows
    raises    SpecError for a GPU without units, clock or the dtype; TraceError for a trace without work
    """
    setting = setting or Setting(
        channels_last=trace.workload.channels_last, tf32="all" if trace.workload.dtype == "tfloat32" else "convolutions"
    )
    shares = shares or load_shares()
    if not trace.ops:
        raise TraceError(f"the trace of {trace.workload.model} holds no work to time. Trace the model again.")
    columns = table(trace)
    gpu = device(spec, shares)
    found = step(columns, gpu, setting, shares)
    blocks = [(block.bytes, block.first_op, block.last_op) for block in trace.lifetimes]
    memory = footprint(columns, blocks, spec, setting)
    rate = trace.workload.batch / found.seconds
    low, high = shares.intervals[interval_class(trace.workload.task, found.bound_by)]
    products = sum(op.flops for op in trace.ops if op.kind in PRODUCT_KINDS)
    return Estimate(
        gpu=spec.name,
        fits=memory.fits,
        peak_bytes=memory.allocated_bytes,
        step_seconds=found.seconds,
        samples_per_second=rate,
        low=rate * low,
        high=rate * high,
        bound_by=found.bound_by,
        mfu=products / (found.seconds * matrix_rate(gpu, trace.workload.dtype)[0] / gpu.headroom),
        assumptions=tuple(_assumptions(trace, found, memory, shares)),
    )


def _assumptions(trace: Trace, found: Step, memory: Footprint, shares: Shares) -> list[str]:
    """What the figures rest on, a sentence each."""
    lines = [
        f"reachable shares of the data sheet are fitted: {shares.source}",
        f"the host issues operators for {show_seconds(found.host_seconds)} of the step; hosts differ by half",
        f"memory is the allocator's segments ({show_bytes(memory.reserved_bytes)}; tensors "
        f"{show_bytes(memory.allocated_bytes)}) and a CUDA context",
    ]
    unknown = [op for op in trace.ops if not op.costed]
    if unknown:
        moved = sum(op.bytes_read + op.bytes_written for op in unknown)
        names = ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(op.name for op in unknown).items()))
        share = show_percent(moved / trace.bytes) if trace.bytes else "none"
        lines.append(f"operators without a cost rule count their bytes alone ({share} of the step's bytes): {names}")
    return lines
