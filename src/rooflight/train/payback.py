"""Eager, compiled, or as a CUDA graph: what pays back within the run, measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.training import TrainConfig
from rooflight.train.compiled import Way, eager_device, refusal
from rooflight.train.loss import Loss
from rooflight.train.probe import probe_step

WARM = 3  # steps before one is timed
TIMED = 7
# Compiling takes tens of seconds. Where even half of the run's time is less, nothing can be won.
LEAST_COMPILE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A way to run steps, measured."""

    way: Way
    seconds: float  # of a step
    start_seconds: float  # until the first steps were done: compiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen, and why."""

    way: Way
    reason: str
    trials: tuple[Trial, ...] = ()


def choose(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    steps: int,
    loss: Loss | None = None,
) -> Choice:
    """How the run's steps are best run.

    loss   default: cross entropy
    steps  that the run still has
    """
    if config.compile != "auto":
        return Choice(way=config.compile, reason="as asked")
    if refused := refusal(model):
        return Choice(way="off", reason=refused)
    eager = measure(model, inputs, targets, config, dtype=dtype, way="off", loss=loss)
    left = eager.seconds * steps
    if left / 2 < LEAST_COMPILE_SECONDS:
        return Choice(
            way="off",
            reason=f"the run's {steps:,} steps take about {left:.0f} s, compiling alone {LEAST_COMPILE_SECONDS:.0f} s",
            trials=(eager,),
        )
    ways: tuple[Way, ...] = ("on", "graphs") if eager_device(model).type == "cuda" else ("on",)
    trials = [eager]
    for way in ways:
        try:
            trials.append(measure(model, inputs, targets, config, dtype=dtype, way=way, loss=loss))
        except Exception as error:  # a compiler raises what it likes; the run goes on without it
            reason = " ".join(str(error).split())[:160]
            return Choice(way="off", reason=f"torch.compile fails on this model: {reason}", trials=tuple(trials))
    return decide(tuple(trials), steps)


def decide(trials: tuple[Trial, ...], steps: int) -> Choice:
    """The way whose start and steps together take least. The first trial is eager."""
    eager, *others = trials
    best = min(others, key=lambda trial: trial.start_seconds + steps * trial.seconds)
    gain = eager.seconds - best.seconds
    speed = f"a step takes {eager.seconds * 1e3:.3g} ms eager, {best.seconds * 1e3:.3g} ms compiled"
    if gain <= 0:
        return Choice(way="off", reason=f"compiled is no faster: {speed}", trials=trials)
    pays_after = best.start_seconds / gain
    back = f"{speed}; compiling took {best.start_seconds:.0f} s and pays back after {pays_after:,.0f} steps"
    if pays_after >= steps:
        return Choice(way="off", reason=f"{back}, the run has {steps:,}", trials=trials)
    return Choice(way=best.way, reason=f"{back} of {steps:,}", trials=trials)


def measure(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    way: Way,
    loss: Loss | None = None,
) -> Trial:
    """Steps of a copy of the model, run this way."""
    device = eager_device(model)
    begin = time.perf_counter()
    step, _ = probe_step(model, inputs, targets, dtype=dtype, config=config, loss=loss, way=way)
    _repeat(step, WARM, device)
    start_seconds = time.perf_counter() - begin
    return Trial(way=way, seconds=median(_repeat(step, TIMED, device)), start_seconds=start_seconds)


def _repeat(step: Callable[[], object], times: int, device: torch.device) -> list[float]:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - begin)
    return found
