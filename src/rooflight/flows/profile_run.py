"""A few steps of a run, as `train` would do them, without the run: under a clock, and under the profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from rooflight.core.training import TrainConfig
from rooflight.core.types import Estimate, GpuSpec, Trace
from rooflight.flows.family import Family, Found, TrainData
from rooflight.flows.setting import Setting
from rooflight.flows.train import ready_model
from rooflight.flows.train_trace import trace_step
from rooflight.flows.train_tuning import loss_of, set_kernels

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.train.profile import StepTimes

SECONDS = 2.0  # that steps are timed

Once = Callable[[Any, "Tensor"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortRun:
    """What configurations that are compared have in common: the model's family, its data, the device."""

    family: Family
    found: Found
    setting: Setting

    def profile(self, config: TrainConfig) -> tuple[TrainData, StepTimes]:
        """The steps of a configuration, and the data that they saw."""
        from rooflight.train.profile import profile_steps

        data, once = self._ready(config)
        return data, profile_steps(once, endless(data), self.setting.device, seconds=SECONDS)

    def samples_per_second(self, config: TrainConfig) -> float:
        """Of steps, with the waiting for their batches."""
        from rooflight.train.profile import time_steps

        data, once = self._ready(config)
        return time_steps(once, endless(data), self.setting.device, seconds=SECONDS)

    def trace(self, config: TrainConfig, data: TrainData) -> Trace:
        """Of a step. data: whose batches have the shapes of a sample."""
        batch = next(iter(data.batches.epoch(1)))
        return trace_step(config, data.reads, batch, loss_of(config, data, self.setting), self.setting.device.type)

    def estimated(self, trace: Trace, roof: GpuSpec) -> Estimate:
        """What the roof makes of a step."""
        from rooflight.estimate.roofline import estimate

        return estimate(trace, roof, asynchronous=self.setting.device.type == "cuda")

    def _ready(self, config: TrainConfig) -> tuple[TrainData, Once]:
        """Data, and the step of a new model, as `train` makes them; eager, where train would try what pays back."""
        from rooflight.train.compiled import compiled
        from rooflight.train.fit import build_state
        from rooflight.train.graphed import Graphed
        from rooflight.train.optimizer import rate_share
        from rooflight.train.precision import autocast_of, pick_precision
        from rooflight.train.ranks import Alone
        from rooflight.train.step import Step

        precision = pick_precision(config.dtype, self.setting.device, self.setting.machine.cpu.isa)
        setting = replace(self.setting, dtype=precision.dtype, precision=precision.name)
        set_kernels(config)
        data = self.family.prepare(self.found, config, setting)
        model, _ = ready_model(config, data.reads, setting)
        way = "off" if config.compile == "auto" else config.compile
        state = build_state(compiled(model.train(), way), config, dtype=setting.dtype, capturable=way == "graphs")
        eager = Step(
            loss=loss_of(config, data, setting),
            autocast=autocast_of(setting.device, setting.dtype),
            rate_share=rate_share(config, config.epochs * len(data.batches)),
            ranks=Alone(),
            seed=config.seed,
            clip=config.clip,
            micro_batch=config.micro_batch,
        )

        step = Graphed(eager) if way == "graphs" else eager

        def once(inputs: Any, targets: Tensor) -> None:
            step(state, inputs, targets, len(targets))
            state.advance(len(targets))

        return data, once


def endless(data: TrainData) -> Iterator[tuple[Any, Tensor]]:
    """The batches of the first epoch, again and again."""
    return chain.from_iterable(data.batches.epoch(epoch) for epoch in repeat(1))
