"""Where a training step's time goes, by operator: torch.profiler around some steps, timed without it before."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function

from rooflight.core.errors import ConfigError
from rooflight.train.step_clock import Lap, clock_of
from rooflight.train.watch import timed

Batch = tuple[Any, Tensor]
OPTIMIZER = "Optimizer.step"  # torch names the whole update so in its profiles
WARM_UP = 4  # steps after the first one
FEWEST, MOST = 8, 200  # steps that are timed
PROFILED = 20  # at most: events of more say no more
BATCH = "rooflight: batch"  # what runs under this name makes a batch, and is no part of the step


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """One step, as the mean of some; seconds of the operators by their names: "aten::mkldnn_convolution"."""

    steps: int
    samples: float
    step_seconds: float  # alone, without the profiler
    data_seconds: float  # that it waited for its batch, without the profiler
    busy_seconds: float  # of the step, in which an operator ran; the rest is what the device waits for the host
    seconds_of: dict[str, float]  # add up to busy_seconds


def profile_steps(
    step: Callable[[Any, Tensor], object], batches: Iterable[Batch], device: torch.device, *, seconds: float
) -> StepTimes:
    """Run steps to get warm, then some under a clock, then some under the profiler, which itself takes time.

    batches  give out as many as that needs: FEWEST or more of each, the first step, and those that warm up
    seconds  that the timed steps take together, about
    raises   ConfigError if they give out fewer
    """
    # Without a GPU, kineto writes on stderr that it found none.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    feed = _Feed(batches, device)
    laps = feed.timed_run(step, seconds)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as profiled:
        under = feed.run(step, min(len(laps), PROFILED))
    events = profiled.events()
    return step_times(laps, under, device_seconds(events) if device.type == "cuda" else host_seconds(events))


def time_steps(
    step: Callable[[Any, Tensor], object], batches: Iterable[Batch], device: torch.device, *, seconds: float
) -> float:
    """Samples a second of steps, with the waiting for their batches, over so many seconds."""
    laps = _Feed(batches, device).timed_run(step, seconds)
    return sum(samples for samples, _, _ in laps) / sum(waited + worked for _, waited, worked in laps)


def step_times(laps: list[Lap], profiled: list[Lap], seconds_of: dict[str, float]) -> StepTimes:
    """Seconds of profiled steps brought to one step of those that were timed without the profiler.

    The profiler slows what it looks at: all that it says is scaled to the time that a step takes without it. Operators
    that overlap, in several streams of a GPU, cannot take longer together than the step.
    """
    count = len(laps)
    alone = sum(worked for _, _, worked in laps) / count
    added = sum(seconds_of.values())
    busy = alone * min(1.0, added / sum(worked for _, _, worked in profiled))
    return StepTimes(
        steps=count,
        samples=sum(samples for samples, _, _ in laps) / count,
        step_seconds=alone,
        data_seconds=sum(waited for _, waited, _ in laps) / count,
        busy_seconds=busy,
        seconds_of={name: busy * seconds / added for name, seconds in seconds_of.items()} if added else {},
    )


class _Feed:
    """Batches, step by step, under a clock."""

    def __init__(self, batches: Iterable[Batch], device: torch.device) -> None:
        self.device, self.clock = device, clock_of(device)
        self.batches: Iterator[Batch] = timed(batches, self.clock)

    def timed_run(self, step: Callable[[Any, Tensor], object], seconds: float) -> list[Lap]:
        """Warm steps, as many as fill so many seconds: some loaders make many batches at once, and none for a while."""
        self.run(step, 1)
        _, _, worked = min(self.run(step, WARM_UP), key=lambda lap: lap[2])
        return self.run(step, max(FEWEST, min(MOST, math.ceil(seconds / worked))))

    def run(self, step: Callable[[Any, Tensor], object], count: int) -> list[Lap]:
        """So many steps, to the end of the last one's work."""
        self.clock.interrupt()
        for number in range(count):
            with record_function(BATCH):
                batch = next(self.batches, None)
            if batch is None:
                raise ConfigError(
                    f"the data ended after {number} of the {count} steps that were to be looked at. Try a smaller "
                    "--batch, or more data."
                )
            step(*batch)
            self.clock.done(len(batch[1]))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock.laps()


# ---------------------------------------------------------------- events of the profiler


def host_seconds(events: Iterable[Any]) -> dict[str, float]:
    """Seconds of a CPU's operators by name. What an operator calls belongs to the outermost one that says what it is.

    What is in no operator is left out: Python, autograd's walk through its graph; and what makes batches.
    """
    return _collected(events, lambda event: event.self_cpu_time_total)


def device_seconds(events: Iterable[Any]) -> dict[str, float]:
    """Seconds of a GPU's kernels by the name of the operator that issued them."""
    return _collected(events, lambda event: sum(kernel.duration for kernel in event.kernels))


def _collected(events: Iterable[Any], own: Callable[[Any], float]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)

    def walk(event: Any, owner: str | None) -> None:
        if event.name == BATCH:
            return
        name = owner or _owner(event.name)
        if name is not None:
            found[name] += own(event) / 1e6  # the profiler counts microseconds
        for child in event.cpu_children:
            walk(child, name)

    for event in events:
        if event.cpu_parent is None:
            walk(event, None)
    return {name: seconds for name, seconds in found.items() if seconds > 0}


def _owner(name: str) -> str | None:
    """The name that an event's time, and that of all it calls, goes to; None: it is no operator."""
    if name.startswith(OPTIMIZER):
        return OPTIMIZER
    return name if "::" in name and not name.startswith(("autograd::", "torch::")) else None
