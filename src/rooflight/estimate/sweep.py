"""One trace on many GPUs: time, memory, power and price of each. What does not depend on the GPU is worked out once."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rooflight.core.errors import TraceError
from rooflight.core.types import Estimate, GpuSpec, Offer, Trace
from rooflight.core.units import show_percent
from rooflight.estimate.arithmetic import PRODUCT_KINDS
from rooflight.estimate.batches import Growth, largest_batch
from rooflight.estimate.cost import USD_PER_KWH, Price, bought, rented, usd_per_million
from rooflight.estimate.device import Device, device, has_matrix_engine, matrix_rate, product_dtype
from rooflight.estimate.footprint import FILLED, Footprint, fits, footprint, too_long, usable_bytes
from rooflight.estimate.parallel import Gang, gang_seconds
from rooflight.estimate.power import draw_watts
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares, interval_class, load_shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import OpTable, table

ROUNDED = 0.995  # of the memory is counted on for another batch: blocks are rounded up, each in its own way
INDICES = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One GPU's estimate, and what it was made from."""

    spec: GpuSpec
    step: Step  # of one GPU, without the others
    memory: Footprint
    estimate: Estimate


@dataclass(slots=True)
class Sweep:
    """A trace that is asked about GPU after GPU.

    grown        how memory grows with the batch; None: not known, and no largest batch is said
    gpus         that share a step, each with a batch of its own (DistributedDataParallel)
    offers       of clouds; where none has the GPU, the price is that of a bought one
    """

    trace: Trace
    setting: Setting
    grown: Growth | None = None
    gpus: int = 1
    offers: Mapping[str, tuple[Offer, ...]] = field(default_factory=dict)
    usd_per_kwh: float = USD_PER_KWH
    shares: Shares = field(default_factory=load_shares)
    columns: OpTable = field(init=False)
    _blocks: list[tuple[int, int, int]] = field(init=False)
    _played: dict[tuple[bool, ...], Footprint] = field(init=False, default_factory=dict)
    _product_flops: int = field(init=False)
    _gradient_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.trace.ops:
            raise TraceError(f"the trace of {self.trace.workload.model} holds no work to time. Trace the model again.")
        self.columns = table(self.trace)
        self._blocks = [(block.bytes, block.first_op, block.last_op) for block in self.trace.lifetimes]
        self._product_flops = sum(op.flops for op in self.trace.ops if op.kind in PRODUCT_KINDS)
        self._gradient_bytes = sum(block.bytes for block in self.trace.lifetimes if block.role == "gradient")

    def estimate(self, spec: GpuSpec) -> Swept:
        """
        raises  SpecError for a GPU without units, clock or the dtype
        """
        gpu, workload = device(spec, self.shares), self.trace.workload
        one = step(self.columns, gpu, self.setting, self.shares)
        gang = Gang(gpus=self.gpus, how="processes")
        gathered, reduced = self.trace.parameter_bytes, self._gradient_bytes
        seconds = gang_seconds(one, gang, spec, gradient_bytes=reduced, parameter_bytes=gathered)
        memory = self.memory(spec)
        rate = self.gpus * workload.batch / seconds
        low, high = self.shares.intervals[interval_class(workload.task, one.bound_by)]
        watts = draw_watts(spec, replace(one, seconds=seconds))
        price = self.price(spec, watts)
        found = Estimate(
            gpu=spec.name,
            fits=memory.fits,
            peak_bytes=memory.allocated_bytes,
            step_seconds=seconds,
            samples_per_second=rate,
            low=rate * low,
            high=rate * high,
            bound_by="network" if seconds - one.seconds > max(one.by_bound.values()) else one.bound_by,
            mfu=self._product_flops / (seconds * self._product_rate(gpu)),
            watts=watts,
            joules_per_sample=None if watts is None else watts * seconds / workload.batch,
            usd_per_hour=None if price is None else price.usd_per_hour,
            price=None if price is None else price.source,
            usd_per_million_samples=None if price is None else usd_per_million(self.gpus * price.usd_per_hour, rate),
            max_batch=self._max_batch(spec, memory),
        )
        return Swept(spec=spec, step=one, memory=memory, estimate=found)

    def assumptions(self) -> tuple[str, ...]:
        """What all estimates of this trace rest on, a sentence each."""
        return tuple(_assumptions(self.trace, self.setting, self.shares, self.gpus))

    def price(self, spec: GpuSpec, watts: float | None) -> Price | None:
        """Dollars per GPU and hour: the cheapest offer, or else what a bought card comes to."""
        return rented(spec, self.offers.get(spec.name, ())) or bought(spec, watts, self.usd_per_kwh)

    def memory(self, spec: GpuSpec) -> Footprint:
        """The footprint, and whether it fits.

        GPUs differ in their operators' workspaces alone, and those in what the matrix engine takes: one playing of
        the allocator serves many.
        """
        kinds = [self.setting.product_dtype("convolution", dtype) for dtype in self.columns.dtypes_of("convolution")]
        key = tuple(has_matrix_engine(spec, dtype) for dtype in kinds)
        if key not in self._played:
            self._played[key] = footprint(self.columns, self._blocks, spec, self.setting)
        found = self._played[key]
        return replace(found, fits=fits(found, self.columns, self._blocks, spec, self.setting))

    def _product_rate(self, gpu: Device) -> float:
        """FLOP/s, published, of the fastest dtype that products run in: TensorFloat-32 where float32 becomes it."""
        dtype = self.trace.workload.dtype
        kinds = [kind for kind in PRODUCT_KINDS if self.columns.kind(kind).any()]
        used = {product_dtype(gpu, self.setting.product_dtype(kind, dtype)) for kind in kinds} or {dtype}
        return max(matrix_rate(gpu, each)[0] for each in used) / gpu.headroom

    def _max_batch(self, spec: GpuSpec, memory: Footprint) -> int | None:
        """As if rounding and workspaces kept their share of the memory at another batch."""
        if self.grown is None or not memory.allocated_bytes:
            return None
        room = ROUNDED * FILLED * usable_bytes(spec) * self.trace.peak_bytes / memory.allocated_bytes
        found, batch = largest_batch(self.grown, room), self.trace.workload.batch
        if found is None:
            return None
        found = min(found, self._longest_batch())
        return max(found, batch) if memory.fits else min(found, batch - 1)

    def _longest_batch(self) -> int:
        """The largest batch whose convolutions 32-bit indices reach, where libraries ask for it; else sys.maxsize."""
        results = self.columns.batch * self.columns.rows * self.columns.columns
        longest = results[self.columns.kind("convolution")].max(initial=0.0)
        scaled = replace(self.columns, rows=self.columns.rows * INDICES)
        if not longest or not too_long(scaled, self.setting):
            return sys.maxsize
        return int(self.trace.workload.batch * (INDICES - 1) / longest)


def by_gpu(offers: Iterable[Offer]) -> Mapping[str, tuple[Offer, ...]]:
    """Offers by the GPU that they are for."""
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in offers:
        found[offer.gpu] = (*found.get(offer.gpu, ()), offer)
    return found


def _assumptions(trace: Trace, setting: Setting, shares: Shares, gpus: int) -> list[str]:
    lines = [
        f"reachable shares of the data sheets are fitted: {shares.source}; low and high hold four of five measurements",
        f"PyTorch {'under torch.compile' if setting.compiled else 'eager'}, the batch on the device; hosts that issue "
        "operators differ by half",
        f"memory is what tensors and workspaces take of the allocator; it fits up to {show_percent(FILLED)} of what "
        "driver and context leave",
        "power is a model of TDP and of what bounds the step, not fitted to measurements",
    ]
    if gpus > 1:
        lines.append("DistributedDataParallel: a batch for each GPU, gradients in a ring, overlapped with backward")
    unknown = [op for op in trace.ops if not op.costed]
    if unknown:
        moved = sum(op.bytes_read + op.bytes_written for op in unknown)
        names = ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(op.name for op in unknown).items()))
        share = show_percent(moved / trace.bytes) if trace.bytes else "none"
        lines.append(f"operators without a cost rule count their bytes alone ({share} of the step's bytes): {names}")
    return lines
