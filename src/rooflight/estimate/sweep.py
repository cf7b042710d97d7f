"""One trace on many GPUs: time, memory, power and price of each. What does not depend on the GPU is worked out once."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rooflight.core.errors import TraceError
from rooflight.core.parallel import Parallel, words
from rooflight.core.types import Estimate, Feed, GpuSpec, Offer, Trace
from rooflight.core.units import show_percent
from rooflight.estimate.arithmetic import PRODUCT_KINDS
from rooflight.estimate.batches import Growth, largest_batch
from rooflight.estimate.cost import USD_PER_KWH, Price, bought, rented, usd_per_million
from rooflight.estimate.device import Device, device, has_matrix_engine, matrix_rate, product_dtype
from rooflight.estimate.fabric import fabric
from rooflight.estimate.feeding import fed, most_fed, sample_of
from rooflight.estimate.footprint import FILLED, Footprint, blas_bytes, fits, footprint, most_elements, usable_bytes
from rooflight.estimate.holding import blocks_of, held
from rooflight.estimate.layout import Layout, layout
from rooflight.estimate.parallel import COPY_SHARE, Shared
from rooflight.estimate.power import draw_watts
from rooflight.estimate.setting import Setting
from rooflight.estimate.several import several, weights_of
from rooflight.estimate.shares import Shares, interval_class, load_shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import OpTable, table
from rooflight.estimate.tensor import check_tensor

ROUNDED = 0.995  # of the memory is counted on for another batch: blocks are rounded up, each in its own way


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One GPU's estimate, and what it was made from."""

    spec: GpuSpec
    step: Step  # of one GPU's part of a micro-batch, without the others
    memory: Footprint
    estimate: Estimate
    shared: Shared | None = None  # the step of several; None: there is one GPU


@dataclass(slots=True)
class Sweep:
    """A trace that is asked about GPU after GPU.

    grown        how memory grows with the batch; None: not known, and no largest batch is said
    form         how GPUs share a step, of which the trace is one replica's micro-batch
    network      bytes per second of one GPU's part of the adapters between machines; None: as such GPUs are sold
    feed         what a machine's loader gives; None: batches are on the device
    offers       of clouds; where none has the GPU, the price is that of a bought one
    """

    trace: Trace
    setting: Setting
    grown: Growth | None = None
    form: Parallel = field(default_factory=Parallel)
    network: float | None = None
    offers: Mapping[str, tuple[Offer, ...]] = field(default_factory=dict)
    usd_per_kwh: float = USD_PER_KWH
    feed: Feed | None = None
    shares: Shares = field(default_factory=load_shares)
    columns: OpTable = field(init=False)
    _blocks: list[tuple[int, int, int]] = field(init=False)
    _played: dict[tuple[int | bool, ...], Footprint] = field(init=False, default_factory=dict)
    _product_flops: int = field(init=False)
    _found: Layout = field(init=False)

    def __post_init__(self) -> None:
        if not self.trace.ops:
            raise TraceError(f"the trace of {self.trace.workload.model} holds no work to time. Trace the model again.")
        self.columns = table(self.trace)
        self._blocks = [(block.bytes, block.first_op, block.last_op) for block in self.trace.lifetimes]
        self._product_flops = sum(op.flops for op in self.trace.ops if op.kind in PRODUCT_KINDS)
        self._found = layout(self.columns)
        if self.form.gpus > 1:
            weights = weights_of(self.trace)
            check_tensor(self.columns, self._found, self.form)
            mine = held(blocks_of(self.trace.lifetimes), self.columns, self._found, self.form, weights)
            columns = zip(mine.bytes, mine.first, mine.last, strict=True)
            self._blocks = [(int(size), int(first), int(last)) for size, first, last in columns]

    def estimate(self, spec: GpuSpec) -> Swept:
        """
        raises  SpecError for a GPU without units, clock or the dtype
        """
        gpu, workload = device(spec, self.shares), self.trace.workload
        one, shared = self._step(spec)
        seconds = one.seconds if shared is None else shared.seconds
        memory = self.memory(spec)
        samples = self.form.data * self.form.micro_batches * workload.batch
        low, high = (
            share * samples / seconds for share in self.shares.intervals[interval_class(workload.task, one.bound_by)]
        )
        bound_by, stages = _bound_by(one, shared, self.form), None
        if self.feed is not None:
            seconds, stages = fed(
                self.feed, sample_of(self.trace), spec, gpus=self.form.gpus, samples=samples, seconds=seconds
            )
            low, high = (min(rate, most_fed(stages)) for rate in (low, high))
            bound_by = "input" if most_fed(stages) < stages.gpu_samples_per_second else bound_by
        rate = samples / seconds
        watts = draw_watts(spec, _busy(one, seconds, self.form))
        price = self.price(spec, watts)
        found = Estimate(
            gpu=spec.name,
            fits=memory.fits,
            peak_bytes=memory.allocated_bytes,
            step_seconds=seconds,
            samples_per_second=rate,
            low=low,
            high=high,
            bound_by=bound_by,
            mfu=self._product_flops * samples / workload.batch / (seconds * self.form.gpus * self._product_rate(gpu)),
            watts=watts,
            joules_per_sample=None if watts is None else self.form.gpus * watts * seconds / samples,
            usd_per_hour=None if price is None else price.usd_per_hour,
            price=None if price is None else price.source,
            usd_per_million_samples=None
            if price is None
            else usd_per_million(self.form.gpus * price.usd_per_hour, rate),
            max_batch=self._max_batch(spec, memory),
            fed=stages,
        )
        return Swept(spec=spec, step=one, memory=memory, estimate=found, shared=shared)

    def _step(self, spec: GpuSpec) -> tuple[Step, Shared | None]:
        """One GPU's part of the step, and the step of all where there are more."""
        if self.form.gpus == 1 and self.form.micro_batches == 1:
            return step(self.columns, device(spec, self.shares), self.setting, self.shares), None
        found = several(
            self.columns,
            weights_of(self.trace),
            self.form,
            spec,
            self.setting,
            self.shares,
            found=self._found,
            joined=fabric(spec, network_bytes_per_second=self.network),
        )
        return found.own, found.shared

    def assumptions(self) -> tuple[str, ...]:
        """What all estimates of this trace rest on, a sentence each."""
        return tuple(_assumptions(self.trace, self.setting, self.shares, self.form, self.feed))

    def price(self, spec: GpuSpec, watts: float | None) -> Price | None:
        """Dollars per GPU and hour: the cheapest offer, or else what a bought card comes to."""
        return rented(spec, self.offers.get(spec.name, ())) or bought(spec, watts, self.usd_per_kwh)

    def memory(self, spec: GpuSpec) -> Footprint:
        """The footprint, and whether it fits.

        GPUs differ in their libraries' workspaces alone, and those in what the matrix engine takes: one playing of the
        allocator serves many.
        """
        kinds = [self.setting.product_dtype("convolution", dtype) for dtype in self.columns.dtypes_of("convolution")]
        key = (blas_bytes(self.columns, spec), *(has_matrix_engine(spec, dtype) for dtype in kinds))
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
        """As if rounding and convolutions' workspaces kept their share at another batch; those of products stay."""
        if self.grown is None or not memory.allocated_bytes or self.form.gpus > 1:
            return None
        kept = min(blas_bytes(self.columns, spec), memory.allocated_bytes - 1)
        share = min(1.0, self.trace.peak_bytes / (memory.allocated_bytes - kept))
        room = ROUNDED * (FILLED * usable_bytes(spec) - kept) * share
        found, batch = largest_batch(self.grown, room), self.trace.workload.batch
        if found is None:
            return None
        found = min(found, self._longest_batch())
        return max(found, batch) if memory.fits else min(found, batch - 1)

    def _longest_batch(self) -> int:
        """The largest batch whose convolutions their library's indices reach; sys.maxsize without convolutions."""
        results = self.columns.batch * self.columns.rows * self.columns.columns
        longest = results[self.columns.kind("convolution")].max(initial=0.0)
        if not longest:
            return sys.maxsize
        return int(self.trace.workload.batch * (most_elements(self.setting) - 1) / longest)


def _bound_by(one: Step, shared: Shared | None, form: Parallel) -> str:
    """The bubble of the pipeline or the network, where a GPU waits longer for it than for any engine of its own."""
    waits = dict(shared.waiting) if shared else {}
    others = {"bubble": waits.pop("bubble", 0.0), "network": sum(waits.values())}
    host = one.host_seconds if one.bound_by == "launch" else 0.0
    own = max(host, *one.by_bound.values()) * form.micro_batches / form.pipeline
    longest = max(others, key=others.__getitem__)
    return longest if others[longest] > own else one.bound_by


def _busy(one: Step, seconds: float, form: Parallel) -> Step:
    """One GPU's part of a whole step: as many micro-batches, of its stage alone."""
    share = form.micro_batches / form.pipeline
    by_bound = {name: share * part for name, part in one.by_bound.items()}
    return replace(one, seconds=seconds, by_bound=by_bound)


def by_gpu(offers: Iterable[Offer]) -> Mapping[str, tuple[Offer, ...]]:
    """Offers by the GPU that they are for."""
    found: dict[str, tuple[Offer, ...]] = {}
    for offer in offers:
        found[offer.gpu] = (*found.get(offer.gpu, ()), offer)
    return found


def _assumptions(trace: Trace, setting: Setting, shares: Shares, form: Parallel, feed: Feed | None) -> list[str]:
    lines = [
        f"reachable shares of the data sheets are fitted: {shares.source}; low and high hold four of five measurements",
        f"PyTorch {'under torch.compile' if setting.compiled else 'eager'}; hosts that issue operators differ by half",
        "the input pipeline is not charged: batches are on the device"
        if feed is None
        else f"input: {feed.words}; the next batch comes while a step runs, over the host's link at "
        f"{show_percent(COPY_SHARE)} of what is published; images as bytes, augmented on the device in one pass",
        f"memory is what tensors and workspaces take of the allocator; it fits up to {show_percent(FILLED)} of what "
        "driver and context leave",
        "power is idle draw, arithmetic and bytes by public figures, held at the TDP; not fitted to measurements",
    ]
    if setting.graphed:
        lines.append(
            "a CUDA graph takes the host 2.5 µs and 1 ns a kernel (NVIDIA's figure); no run with one was fitted"
        )
    if form.gpus > 1:
        lines.append(
            f"{form.gpus} GPUs: {words(form)}; collectives by NCCL's model, over the links and adapters that such GPUs "
            "are sold with, and 19 % of the work that they run beside lost to them"
        )
    unknown = [op for op in trace.ops if not op.costed]
    if unknown:
        moved = sum(op.bytes_read + op.bytes_written for op in unknown)
        names = ", ".join(f"{name} ×{count}" for name, count in sorted(Counter(op.name for op in unknown).items()))
        share = show_percent(moved / trace.bytes) if trace.bytes else "none"
        lines.append(f"operators without a cost rule count their bytes alone ({share} of the step's bytes): {names}")
    return lines
