"""Which learning rate? A short run on a copy, with a rate that rises step by step until the loss does."""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.core.training import TrainConfig
from rooflight.train.fit import build_state
from rooflight.train.loop import EpochBatches
from rooflight.train.loss import Loss
from rooflight.train.precision import autocast_of
from rooflight.train.ranks import Alone
from rooflight.train.step import Step

LOWEST, HIGHEST = 1e-6, 1.0
STEPS = 100
SMOOTHING = 0.9  # of the loss, over about the last 10 steps
FALLEN = 0.99  # of the first loss: less is rounding
GIVEN_UP = 4.0  # times the lowest loss: it only gets worse from here
BELOW = 10.0  # the rate at the lowest loss is already too high: as fastai, a tenth of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A learning rate, and the curve that it was read off."""

    lr: float
    curve: tuple[tuple[float, float], ...]  # (learning rate, smoothed loss)


def find_lr(model: nn.Module, batches: EpochBatches, config: TrainConfig, *, dtype: torch.dtype, loss: Loss) -> Found:
    """A tenth of the rate with the lowest loss. The model stays as it is.

    source  Smith, arXiv 1506.01186; the tenth is fastai's rule
    raises  ConfigError if the loss falls at no rate
    """
    state = build_state(copy.deepcopy(model).train(), replace(config, lr=1.0), dtype=dtype)
    step = Step(
        loss=loss,
        autocast=autocast_of(state.device, dtype),
        rate_share=_rate,
        ranks=Alone(),
        seed=config.seed,
        clip=config.clip,
        micro_batch=config.micro_batch,
    )
    curve: list[tuple[float, float]] = []
    mean = 0.0
    for number, (inputs, targets) in enumerate(_pairs(batches)):
        value = float(step(state, inputs, targets, len(targets)).mean)
        state.advance(len(targets))
        if not math.isfinite(value):
            break
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        curve.append((_rate(number), mean / (1 - SMOOTHING ** (number + 1))))
        if len(curve) == STEPS or curve[-1][1] > GIVEN_UP * min(loss for _, loss in curve):
            break
    lowest = min(curve, key=lambda point: point[1], default=None)
    if lowest is None or lowest[1] > FALLEN * curve[0][1]:
        raise ConfigError("--find-lr: the loss falls at no learning rate. Try --lr, and look at the data.")
    return Found(lr=float(f"{lowest[0] / BELOW:.2g}"), curve=tuple(curve))


def _rate(step: int) -> float:
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)))


def _pairs(batches: EpochBatches) -> Iterator[tuple[Any, Tensor]]:
    """Epoch after epoch: a small set has fewer steps than are tried."""
    epoch = 1
    while True:
        yield from batches.epoch(epoch)
        epoch += 1
