"""Callables that take turns, so that a drift of the machine's speed cancels in their ratios."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from time import sleep

import torch

from rooflight.bench.timing import timed_block, warm_up

BLOCK_SECONDS = 0.02
WARM_UP_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """What takes its turn: a callable, where it runs, and what is set while it does."""

    run: Callable[[], object]
    device: torch.device
    setting: Callable[[], AbstractContextManager[object]] = nullcontext


def take_turns(
    contestants: Mapping[str, Contestant], *, rounds: int = 9, rest_seconds: float = 0.0
) -> dict[str, list[float]]:
    """Seconds per call of each, one value a round: every round runs a block of each, and the first moves on.

    rest_seconds  before each turn: threads of another library go on spinning after its turn, OpenBLAS's for 30 ms
    """
    names = list(contestants)
    calls = {name: _calls(contestants[name]) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            each = contestants[name]
            sleep(rest_seconds)
            with each.setting():
                timed_block(each.run, 1, each.device)  # after the others, caches and thread pools are cold
                seconds[name].append(timed_block(each.run, calls[name], each.device) / calls[name])
    return seconds


def speedup(reference: list[float], other: list[float]) -> float:
    """How many times as fast as the reference: the median of the rounds' ratios."""
    return median(slow / fast for slow, fast in zip(reference, other, strict=True))


def _calls(contestant: Contestant) -> int:
    with contestant.setting():
        return warm_up(contestant.run, contestant.device, block_seconds=BLOCK_SECONDS, warm_up_seconds=WARM_UP_SECONDS)
