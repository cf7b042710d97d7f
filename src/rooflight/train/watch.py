"""Watches a run from beside it: samples a second, shares of the roofline, waiting, power, loss, now and then.

The watcher is told of every step and does next to nothing then. What costs more is done when a line is due: and even
then the host never waits for the device.
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.live import Pace, StepRecord, Yardstick
from rooflight.train.late import LateNumber
from rooflight.train.loop import EpochBatches
from rooflight.train.step_clock import Lap, StepClock, clock_of

DRAIN_EVERY = 64  # steps after which the clock is emptied even if nobody asks
SLOW_SECONDS = 0.5  # between readings of meters and allocators, which take a while to answer
KEPT_STEPS = 1000  # the last ones, whose median is the run's step


@dataclass(slots=True)
class Window:
    """Sums over some steps."""

    samples: int = 0
    steps: int = 0
    waited: float = 0.0
    worked: float = 0.0

    def add(self, lap: Lap) -> None:
        """One more step."""
        samples, waited, worked = lap
        self.samples += samples
        self.steps += 1
        self.waited += waited
        self.worked += worked

    def pace(self, yardstick: Yardstick, watts: float | None) -> Pace:
        """Their speed; all None before the first step."""
        seconds = self.waited + self.worked
        if not self.steps or not seconds:
            return Pace(watts=watts)
        rate = self.samples / seconds
        return Pace(
            samples_per_second=rate,
            step_seconds=self.worked / self.steps,
            data_wait_share=self.waited / seconds,
            mfu=yardstick.mfu(rate),
            memory_share=yardstick.memory_share(rate),
            watts=watts,
        )


@dataclass(slots=True)
class Outlet:
    """Where lines go, and the steps since the last one."""

    tell: Callable[[StepRecord], None]
    window: Window = field(default_factory=Window)


class Watcher:
    """Beside one run on one device. `step_done` and `batches` are where it looks on."""

    def __init__(
        self,
        device: torch.device,
        yardstick: Yardstick,
        *,
        lr: Callable[[int], float],
        log_every: int = 0,
        on_log: Callable[[StepRecord], None] = lambda record: None,
        show_seconds: float = math.inf,
        on_show: Callable[[StepRecord], None] = lambda record: None,
        joules: Callable[[], float | None] = lambda: None,
        clock: StepClock | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        lr            step, counted from 0 → its learning rate
        log_every     steps between calls of on_log; 0: none
        show_seconds  between calls of on_show
        joules        what the device has drawn so far; None: no meter
        """
        self.yardstick, self.lr, self.log_every, self.show_seconds = yardstick, lr, log_every, show_seconds
        self.clock, self.now = clock or clock_of(device), now
        self._log, self._show, self._epoch = Outlet(on_log), Outlet(on_show), Window()
        self._shown_at = now()
        self._asked: deque[tuple[int, int, LateNumber, list[Outlet]]] = deque()  # step, epoch, loss, who wants it
        self._steps: deque[float] = deque(maxlen=KEPT_STEPS)
        self._slow = SlowReadings(device, joules, now)

    def batches(self, inner: EpochBatches) -> "WatchedBatches":
        """The same batches, each waited for under the clock's eyes."""
        return WatchedBatches(inner, self.clock)

    def step_done(self, *, step: int, epoch: int, samples: int, loss: Callable[[], Tensor]) -> None:
        """A step is issued.

        step     counted from 1
        samples  of all devices together
        loss     gives the step's mean loss, on the device; called only where it will be told
        """
        self.clock.done(samples)
        wanted = [self._log] if self.log_every and step % self.log_every == 0 else []
        if self.now() - self._shown_at >= self.show_seconds:
            self._shown_at = self.now()
            wanted.append(self._show)
        if wanted:
            self._asked.append((step, epoch, LateNumber(loss()), wanted))
        if self._asked:
            self._tell()
        elif step % DRAIN_EVERY == 0:
            self._drain()

    def interrupt(self) -> None:
        """Evaluation, saving: the time until the next batch is asked for counts as nothing."""
        self.clock.interrupt()

    def epoch_pace(self) -> Pace:
        """Of the epoch's steps, once the host has waited for the last one; the next epoch begins."""
        self._drain()
        self._tell()
        pace = self._epoch.pace(self.yardstick, self._slow.epoch_watts())
        self._epoch = Window()
        self.interrupt()
        return pace

    def step_seconds(self) -> float | None:
        """Median of the last steps, each by itself: forward, loss, backward, update. None before the first."""
        self._drain()
        return median(self._steps) if self._steps else None

    def _drain(self) -> None:
        for lap in self.clock.laps():
            self._steps.append(lap[2])
            for window in (self._log.window, self._show.window, self._epoch):
                window.add(lap)

    def _tell(self) -> None:
        """Lines whose loss has arrived."""
        while self._asked and self._asked[0][2].here():
            step, epoch, number, outlets = self._asked.popleft()
            self._drain()
            watts, most = self._slow.now()
            loss = number.read()
            for outlet in outlets:
                pace = outlet.window.pace(self.yardstick, watts)
                outlet.window = Window()
                outlet.tell(
                    StepRecord(
                        step=step,
                        epoch=epoch,
                        loss=loss if math.isfinite(loss) else None,
                        lr=self.lr(step - 1),
                        peak_bytes=most,
                        **asdict(pace),
                    )
                )


class WatchedBatches:
    """Batches whose making is timed; all else is the batches' own."""

    def __init__(self, inner: EpochBatches, clock: StepClock) -> None:
        self.inner, self.clock = inner, clock

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def samples(self) -> int:
        return self.inner.samples

    def order(self, epoch: int) -> NDArray[np.int64]:
        return self.inner.order(epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        return timed(self.inner.epoch(epoch, start=start), self.clock)


def timed(batches: Iterable[tuple[Any, Tensor]], clock: StepClock) -> Iterator[tuple[Any, Tensor]]:
    """The batches, the clock told when each is asked for and when it is here."""
    source = iter(batches)
    clock.interrupt()
    while True:
        clock.asked()
        try:
            batch = next(source)
        except StopIteration:
            return
        clock.got()
        yield batch


class SlowReadings:
    """Power and peak memory, asked for at most twice a second."""

    def __init__(
        self, device: torch.device, joules: Callable[[], float | None], now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.device, self.joules, self.clock = device, joules, now
        self._at, self._joules = now(), joules()
        self._epoch_at, self._epoch_joules = self._at, self._joules
        self._watts: float | None = None
        self._peak_bytes = peak_bytes(device)

    def now(self) -> tuple[float | None, int | None]:
        """Watts since the last reading, and the most bytes so far."""
        at = self.clock()
        if at - self._at >= SLOW_SECONDS:
            drawn = self.joules()
            self._watts = _watts(self._joules, drawn, at - self._at)
            self._at, self._joules = at, drawn
            self._peak_bytes = peak_bytes(self.device)
        return self._watts, self._peak_bytes

    def epoch_watts(self) -> float | None:
        """Since the last call: with evaluation and saving, which draw too."""
        at, drawn = self.clock(), self.joules()
        watts = _watts(self._epoch_joules, drawn, at - self._epoch_at)
        self._epoch_at, self._epoch_joules = at, drawn
        return watts


def _watts(before: float | None, after: float | None, seconds: float) -> float | None:
    return (after - before) / seconds if before is not None and after is not None and seconds > 0 else None


def peak_bytes(device: torch.device) -> int | None:
    """The most that tensors have taken on a GPU, or the process on a CPU; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts KiB
