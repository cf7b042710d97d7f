"""How long a run waits for its batches, and how long its steps take, without ever waiting for the device."""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch

Lap = tuple[int, float, float]  # samples of a step, seconds before it without work, seconds of the step


class StepClock(Protocol):
    """Is told what the host does, and tells what the device did."""

    def asked(self) -> None:
        """The next batch is asked for."""

    def got(self) -> None:
        """It is here, and its step begins."""

    def done(self, samples: int) -> None:
        """The step is issued."""

    def interrupt(self) -> None:
        """Something else than training comes: the time until the next batch is asked for is no waiting."""

    def laps(self) -> list[Lap]:
        """The steps that have ended since the last call, in order."""


class HostClock:
    """For a CPU, where a call returns when its work is done."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._asked = self._got = now()
        self._laps: list[Lap] = []

    def asked(self) -> None:
        self._asked = self._now()

    def got(self) -> None:
        self._got = self._now()

    def done(self, samples: int) -> None:
        self._laps.append((samples, self._got - self._asked, self._now() - self._got))

    def interrupt(self) -> None:
        """Waiting is timed from `asked` on: nothing in between counts anyway."""

    def laps(self) -> list[Lap]:
        found, self._laps = self._laps, []
        return found


class DeviceClock:
    """For a GPU, which works off what the host has issued: the clock is its own.

    The host may wait for a batch while the GPU still has steps to do; that costs nothing, and a clock of the host would
    count it. So two events stand around each step, and what lies between the end of one and the beginning of the next
    is the device's waiting: it is idle then, or makes the batch itself (copies, augments). An event is read only when
    the device has passed it.
    """

    def __init__(self, mark: Callable[[], Any]) -> None:
        """mark: issues an event, with query() and elapsed_time(), to the device."""
        self._mark = mark
        self._begin: Any = None
        self._last_end: Any = None  # of the step before; None: what came before was no training
        self._issued: deque[tuple[int, Any, Any, Any]] = deque()

    def asked(self) -> None:
        pass

    def got(self) -> None:
        self._begin = self._mark()

    def done(self, samples: int) -> None:
        end = self._mark()
        self._issued.append((samples, self._last_end, self._begin, end))
        self._last_end = end

    def interrupt(self) -> None:
        self._last_end = None

    def laps(self) -> list[Lap]:
        found = []
        while self._issued and self._issued[0][-1].query():
            samples, before, begin, end = self._issued.popleft()
            waited = before.elapsed_time(begin) / 1000 if before is not None else 0.0  # events count milliseconds
            found.append((samples, waited, begin.elapsed_time(end) / 1000))
        return found


def clock_of(device: torch.device) -> StepClock:
    """The clock that tells the device's time."""
    return DeviceClock(partial(cuda_mark, device, timing=True)) if device.type == "cuda" else HostClock()


def cuda_mark(device: torch.device, *, timing: bool = False) -> Any:
    """An event in the device's stream: it has been passed when all that was issued before is done."""
    event = torch.cuda.Event(enable_timing=timing)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
