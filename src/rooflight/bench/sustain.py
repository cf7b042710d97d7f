"""A load kept up for seconds: what is left of a burst when the device is warm, and what it draws."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from statistics import fmean
from time import perf_counter

import torch

from rooflight.bench.timing import Load, summarise, timed_block
from rooflight.core.meters import Meter
from rooflight.core.types import GpuState, Measurement

ENERGY_SECONDS = 5.0  # a counter that moves every 100 ms, of a sensor that looks a quarter of the time, needs as much
BLOCK_SECONDS = 0.05
SAMPLE_SECONDS = 0.1


def sustain(
    load: Load, device: torch.device, *, seconds: float, meter: Meter | None
) -> tuple[Measurement, float | None]:
    """The load without a pause: (the rate over the later half, work per joule over all of it).

    Power, clock and throttling are the meter's; power needs ENERGY_SECONDS. Work per joule is None without it.
    """
    calls = max(1, round(BLOCK_SECONDS / max(timed_block(load.run, 1, device), 1e-9)))
    rates: list[float] = []
    with Samples(meter) as samples:
        joules = meter.joules() if meter else None
        start = perf_counter()
        while len(rates) < 4 or perf_counter() - start < seconds:
            rates.append(load.work * calls / timed_block(load.run, calls, device))
        elapsed = perf_counter() - start
        after = meter.joules() if meter else None
    spent = None if joules is None or after is None else after - joules
    watts = average_watts(spent, elapsed, samples.states)
    work = load.work * calls * len(rates)
    later = rates[len(rates) // 2 :]
    found = summarise(later, name=f"{load.name}, sustained", unit=load.unit)
    measured = Measurement(
        name=found.name,
        unit=found.unit,
        median=found.median,
        low=found.low,
        high=found.high,
        n=found.n,
        watts=watts,
        clock_hz=_mean([state.core_clock_hz for state in samples.states]),
        throttled_by=tuple(sorted({word for state in samples.states for word in state.throttled_by or ()})),
    )
    return measured, work / (watts * elapsed) if watts else None


def average_watts(joules: float | None, seconds: float, states: Sequence[GpuState]) -> float | None:
    """From the energy counter, else from the samples of power; None for a window that is too short for either."""
    if seconds < ENERGY_SECONDS:
        return None
    return joules / seconds if joules is not None else _mean([state.power_watts for state in states])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


class Samples:
    """A meter's states every SAMPLE_SECONDS while the body runs, read by a thread of its own. Without a meter: none."""

    def __init__(self, meter: Meter | None) -> None:
        self.states: list[GpuState] = []
        self._meter = meter
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while self._meter is not None and not self._stop.wait(SAMPLE_SECONDS):
            try:
                self.states.append(self._meter.state())
            except Exception:  # a sample less; the measurement goes on
                continue

    def __enter__(self) -> Samples:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
