"""The best form for a number of GPUs: every form that divides them, tried; those that fit, timed.

What forms share is worked out once: one rank's pace depends on the micro-batch and on tensor parallelism alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rooflight.core.parallel import Parallel, Sharding
from rooflight.core.types import GpuSpec, Trace
from rooflight.estimate.device import Device, device
from rooflight.estimate.fabric import Fabric, fabric
from rooflight.estimate.footprint import FILLED, usable_bytes
from rooflight.estimate.holding import Blocks, blocks_of, held, peak_by_role
from rooflight.estimate.layout import Layout, layout
from rooflight.estimate.pace import Pace, pace
from rooflight.estimate.parallel import Shared, Weights, shared_step
from rooflight.estimate.setting import Setting
from rooflight.estimate.several import exchanged, weights_of
from rooflight.estimate.shares import Shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import OpTable, at_batch, table
from rooflight.estimate.tensor import heads, split

MOST_STAGES = 32  # of a pipeline that is tried
AS_FAST = 1.03  # of the fastest: within what an estimate does not tell apart, the plainest form is taken
LARGEST_MICRO_BATCH = 8  # of a pipeline; more only makes its bubble longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One form that fits, and what it takes. part: one rank's operators of a micro-batch."""

    form: Parallel
    micro_batch: int
    shared: Shared
    own: Step
    part: OpTable
    peak_bytes: float

    @property
    def samples(self) -> int:
        return self.form.data * self.form.micro_batches * self.micro_batch

    @property
    def mechanisms(self) -> int:
        """How many of tensor parallelism, a pipeline and sharding it takes: 0 is plain data parallelism."""
        return sum((self.form.tensor > 1, self.form.pipeline > 1, self.form.sharding != "none"))


@dataclass(slots=True)
class Search:
    """One model on one GPU's like. small, large: one step at two batches, from which every other follows."""

    small: Trace
    large: Trace
    spec: GpuSpec
    setting: Setting
    shares: Shares
    network: float | None = None
    joined: Fabric = field(init=False)
    weights: Weights = field(init=False)
    _found: Layout = field(init=False)
    _heads: int = field(init=False)
    _gpu: Device = field(init=False)
    _tables: tuple[OpTable, OpTable] = field(init=False)
    _blocks: tuple[Blocks, Blocks] = field(init=False)
    _kept: dict[Any, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.joined = fabric(self.spec, network_bytes_per_second=self.network)
        self.weights = weights_of(self.small)
        self._gpu = device(self.spec, self.shares)
        self._tables = (table(self.small), table(self.large))
        self._blocks = (blocks_of(self.small.lifetimes), blocks_of(self.large.lifetimes))
        self._found = layout(self._tables[1])
        self._heads = heads(self._tables[1], self._found) or 1

    def best(self, gpus: int, batch: int) -> list[Tried]:
        """The forms of so many GPUs that hold `batch` samples: the one to take, then the others, the fastest first.

        The one to take has the fewest of tensor, pipeline and sharding of those that are as fast as the fastest.
        """
        tried = []
        for form in self._forms(gpus, batch):
            for micro, count in _micro_batches(form, batch // form.data):
                found = self._try(replace(form, micro_batches=count), micro)
                if found is not None:
                    tried.append(found)
                    if form.pipeline == 1:
                        break  # fewer, larger micro-batches come first, and are faster
        if not tried:
            return []
        tried.sort(key=lambda each: each.shared.seconds)
        as_fast = [each for each in tried if each.shared.seconds <= AS_FAST * tried[0].shared.seconds]
        taken = min(as_fast, key=lambda each: each.mechanisms)  # the first, and so the fastest, of those as plain
        return [taken, *(each for each in tried if each is not taken)]

    def table(self, micro: int) -> OpTable:
        """The operators of a micro-batch, whole."""
        found: OpTable = self._once(("table", micro), lambda: at_batch(*self._tables, samples=float(micro)))
        return found

    def _forms(self, gpus: int, batch: int) -> Iterator[Parallel]:
        blocks, trains = self._found.blocks, self.small.workload.task == "train"
        for tensor in _divisors(gpus, min(self.joined.node, self._heads if blocks else 1)):
            if self._heads % tensor:
                continue
            for pipeline in _divisors(gpus // tensor, min(MOST_STAGES, max(blocks, 1))):
                data = gpus // tensor // pipeline
                if batch % data:
                    continue
                form = Parallel(data=data, tensor=tensor, pipeline=pipeline, sequence=tensor > 1 and trains)
                yield form
                if data > 1 and trains:
                    yield from _sharded(form, self.joined.node)

    def _try(self, form: Parallel, micro: int) -> Tried | None:
        """None: it does not fit."""
        whole = self.table(micro)
        room = FILLED * usable_bytes(self.spec)
        if self._state_bytes(form) > room:
            return None
        peak = sum(self.peak(form, micro).values())
        if peak > room:
            return None
        part, own, paced = self._once(("pace", micro, form.tensor, form.sequence), lambda: self._paced(form, whole))
        forward, backward = exchanged(whole, self._found, form, self.setting)
        shared = shared_step(
            paced,
            form,
            self.joined,
            self.weights,
            found=self._found,
            forward=forward,
            backward=backward,
            memory_bytes_per_second=self.spec.bytes_per_second,
        )
        return Tried(form=form, micro_batch=micro, shared=shared, own=own, part=part, peak_bytes=peak)

    def peak(self, form: Parallel, micro: int) -> dict[str, float]:
        """Bytes by role at the peak of the GPU that holds most, without the allocator's rounding."""
        blocks = self._once(("blocks", micro), lambda: _blocks_at(self._blocks, self._tables, micro))
        whole = self.table(micro)
        return dict(peak_by_role(held(blocks, whole, self._found, form, self.weights), len(whole)))

    def _state_bytes(self, form: Parallel) -> float:
        """Weights, gradients and optimizer state alone: what no micro-batch makes smaller."""
        blocks = self._blocks[0]
        one = replace(
            blocks,
            bytes=np.where(blocks.having("parameter", "optimizer_state"), blocks.bytes, 0.0),
        )
        return float(held(one, self._tables[0], self._found, form, self.weights).bytes.sum())

    def _paced(self, form: Parallel, whole: OpTable) -> tuple[OpTable, Step, Pace]:
        part = split(whole, self._found, form)
        own = step(part, self._gpu, self.setting, self.shares)
        return part, own, pace(part, self._gpu, self.setting, self.shares, parameters=self.weights.parameters)

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def numbers(first: int, last: int) -> list[int]:
    """From the first number of GPUs to the last, doubling."""
    found = []
    while first < last:
        found.append(first)
        first *= 2
    return [*found, last]


def _sharded(form: Parallel, node: int) -> Iterator[Parallel]:
    """With ZeRO-1, and where there is no pipeline with all sharded, over all replicas or inside machines."""
    kinds: tuple[Sharding, ...] = ("optimizer",) if form.pipeline > 1 else ("optimizer", "parameters")
    for kind in kinds:
        yield replace(form, sharding=kind)
    inside = node // form.tensor
    if form.pipeline == 1 and 1 < inside < form.data and form.data % inside == 0:
        yield replace(form, sharding="parameters", shard_group=inside)


def _micro_batches(form: Parallel, batch: int) -> list[tuple[int, int]]:
    """(samples, how many) that a replica's batch may go through in, the largest first."""
    most = LARGEST_MICRO_BATCH if form.pipeline > 1 else batch
    sizes = [batch // count for count in _divisors(batch, batch) if batch // count <= most]
    sizes = sizes[:: max(1, len(sizes) // 8)]  # of a number with many divisors, some
    return [(size, batch // size) for size in sizes if form.pipeline == 1 or batch // size >= form.pipeline]


def _divisors(number: int, most: int) -> list[int]:
    return [each for each in range(1, min(number, most) + 1) if number % each == 0]


def _blocks_at(pair: tuple[Blocks, Blocks], tables: tuple[OpTable, OpTable], micro: int) -> Blocks:
    """Blocks of another batch: their bytes are affine in it."""
    small, large = pair
    if len(small.bytes) != len(large.bytes):  # a library chose other temporaries; the larger batch's scale with it
        return replace(large, bytes=np.where(_states(large), large.bytes, large.bytes * micro / tables[1].samples))
    share = (micro - tables[0].samples) / (tables[1].samples - tables[0].samples)
    return replace(small, bytes=np.maximum(0.0, small.bytes + share * (large.bytes - small.bytes)))


def _states(blocks: Blocks) -> Any:
    return blocks.having("parameter", "gradient", "optimizer_state")
