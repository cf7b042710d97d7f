"""The operators of a step on real tensors, each with the seconds that it took where it ran."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from rooflight.core.types import Op, Phase
from rooflight.trace.call import call_of
from rooflight.trace.recorder import Recorder

Mark = Callable[[Phase], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOp:
    """One operator of a step, and how long it took in its place: the caches as its predecessors leave them."""

    op: Op
    seconds: float


def time_operators(
    step: Callable[[Mark], object], device: torch.device, *, warm_up: int = 1, repeats: int = 3
) -> tuple[TimedOp, ...]:
    """Every operator of the step with its median over the repeats.

    step     runs the step; it calls what it is given with each phase that begins
    returns  operators that every repeat ran, in order; a step that takes another path each time gives none
    """
    for _ in range(warm_up):
        step(_ignore)
    runs = [_timed_run(step, device) for _ in range(repeats)]
    first = runs[0]
    if any([timed.op.name for timed in run] != [timed.op.name for timed in first] for run in runs):
        return ()
    return tuple(
        TimedOp(op=same[0].op, seconds=statistics.median(timed.seconds for timed in same))
        for same in zip(*runs, strict=True)
    )


def _ignore(phase: Phase) -> None:
    pass


def _timed_run(step: Callable[[Mark], object], device: torch.device) -> Sequence[TimedOp]:
    recorder = TimedRecorder(device)

    def mark(phase: Phase) -> None:
        recorder.phase = phase

    with recorder:
        step(mark)
    return recorder.timed()


class TimedRecorder(Recorder):
    """Records operators as they really run. On CUDA the clock is the device's, between two events around each."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device
        self._clock: list[tuple[Any, Any]] = []  # begin and end of each op

    def timed(self) -> list[TimedOp]:
        """What was recorded so far."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            seconds = [begin.elapsed_time(end) / 1000 for begin, end in self._clock]  # events count milliseconds
        else:
            seconds = [end - begin for begin, end in self._clock]
        return [TimedOp(op=op, seconds=each) for op, each in zip(self.ops, seconds, strict=True)]

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = self._decomposed(func, args, kwargs)
        if result is not NotImplemented:
            return result
        begin = self._now()
        result = func(*args, **kwargs)
        end = self._now()
        before = len(self.ops)
        self._record(call_of(func, args, kwargs, result))
        if len(self.ops) > before:
            self._clock.append((begin, end))
        return result

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
