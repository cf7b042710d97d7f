"""`rooflight info --watch`: power, temperature, clocks, load and throttling, again and again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from rooflight.core.errors import ConfigError
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuState, Machine
from rooflight.core.units import show_bytes, show_hertz, show_percent, show_seconds

if TYPE_CHECKING:
    from rooflight.core.meters import Meter

LEAST_SECONDS = 0.05  # drivers refresh their figures every 20 to 100 ms
MOST_SECONDS = 86400.0
COLUMNS = ("device", "power", "temperature", "clock", "memory clock", "busy", "free memory", "held down by")


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One line of the table at one moment."""

    name: str  # "GPU 0: NVIDIA GeForce RTX 4090", "CPU"
    state: GpuState


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """All devices at one moment; what `--json` prints a line of."""

    date: str  # ISO 8601, UTC
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDevice:
    """One device over the whole time; None: not told."""

    name: str
    mean_watts: float | None
    max_watts: float | None
    max_celsius: float | None
    mean_clock_hz: float | None
    mean_busy: float | None
    throttled_by: tuple[str, ...]  # everything that held it down in any sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen in all."""

    samples: int
    seconds: float
    devices: tuple[WatchedDevice, ...]


def watch(
    show: Callable[[Sample], None],
    *,
    interval: float = 1.0,
    samples: int | None = None,
    machine: Machine | None = None,
) -> Report:
    """Read all devices every `interval` seconds, hand each sample to `show`, and sum up at the end.

    samples   how many; None: until Ctrl-C, which is the ordinary end
    machine   whose devices; None: this one
    raises    ConfigError for an interval that no driver keeps up with, or less than one sample
    """
    if interval > MOST_SECONDS:
        raise ConfigError(f"--interval {interval:g}: it must be {MOST_SECONDS:.0f} s (a day) or less.")
    if not interval >= LEAST_SECONDS:
        raise ConfigError(f"--interval {interval:g}: drivers take {LEAST_SECONDS} s or more to refresh their figures.")
    if samples is not None and samples < 1:
        raise ConfigError(f"--samples {samples}: it must be 1 or more.")
    from rooflight.hardware.detect import detect

    seen: list[Sample] = []
    readers: list[_Reader] = []
    start = time.monotonic()
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        readers += [_Reader(name, meter) for name, meter in _meters(machine or detect())]
        for reader in readers:
            stack.callback(reader.meter.close)
        for _ in _ticks(interval, samples):
            seen.append(_sample(readers))
            show(seen[-1])
    watched = Watched(samples=len(seen), seconds=time.monotonic() - start, devices=_summed(seen))
    failures = tuple(failure for reader in readers for failure in reader.failures)
    tables = (_summary_table(watched),) if seen else ()
    return Report(answer=watched, tables=tables, notes=(*_notes(watched), *failures))


def sample_row(device: Device) -> tuple[str, ...]:
    """One device as the cells of COLUMNS."""
    state = device.state
    held = "" if state.throttled_by is None else ", ".join(state.throttled_by) or "nothing"
    return (
        device.name,
        _shown(state.power_watts, "W"),
        _shown(state.temperature_celsius, "°C"),
        _clock(state.core_clock_hz),
        _clock(state.memory_clock_hz),
        show_percent(state.busy) if state.busy is not None else "",
        show_bytes(state.free_bytes) if state.free_bytes is not None else "",
        held,
    )


class _Reader:
    """One device's meter. Power comes from its energy where it tells no power."""

    def __init__(self, name: str, meter: Meter) -> None:
        self.name, self.meter = name, meter
        self.failures: dict[str, None] = {}  # what went wrong with a reading, each thing once
        self._then, self._joules = time.monotonic(), self._asked(meter.joules)

    def read(self) -> Device:
        """The state now; an empty one where the meter fails, which the next reading may not."""
        state = self._asked(self.meter.state) or GpuState()
        now, joules = time.monotonic(), self._asked(self.meter.joules)
        if state.power_watts is None and joules is not None and self._joules is not None:
            state = replace(state, power_watts=(joules - self._joules) / (now - self._then))
        self._then, self._joules = now, joules
        return Device(name=self.name, state=state)

    def _asked(self, question: Callable[[], T | None]) -> T | None:
        try:
            return question()
        except Exception as error:  # whatever one device's driver does: the other devices are read, and all summed up
            self.failures[f"{self.name} could not always be read: {str(error) or type(error).__name__}."] = None
            return None


def _meters(machine: Machine) -> Iterator[tuple[str, Meter]]:
    """A meter for each GPU that has one, and the processor's."""
    from rooflight.hardware.power import cpu_meter, gpu_meter

    for gpu in machine.gpus:
        meter, _ = gpu_meter(gpu)
        if meter is not None:
            yield f"GPU {gpu.index}: {gpu.name}", meter
    yield "CPU", cpu_meter()[0]


def _ticks(interval: float, samples: int | None) -> Iterator[int]:
    """One number per sample, at even distances; the first soon, yet late enough for load and power to be counted."""
    start, number = time.monotonic() + min(interval, 0.2), 0
    while samples is None or number < samples:
        time.sleep(max(0.0, start + number * interval - time.monotonic()))
        yield number
        number += 1


def _sample(readers: Sequence[_Reader]) -> Sample:
    devices = tuple(reader.read() for reader in readers)
    return Sample(date=datetime.now(UTC).isoformat(timespec="milliseconds"), devices=devices)


def _summed(seen: Sequence[Sample]) -> tuple[WatchedDevice, ...]:
    if not seen:
        return ()
    columns = zip(*(sample.devices for sample in seen), strict=True)
    return tuple(_over_time(device[0].name, [each.state for each in device]) for device in columns)


def _over_time(name: str, states: Sequence[GpuState]) -> WatchedDevice:
    watts = [state.power_watts for state in states if state.power_watts is not None]
    degrees = [state.temperature_celsius for state in states if state.temperature_celsius is not None]
    clocks = [state.core_clock_hz for state in states if state.core_clock_hz is not None]
    busy = [state.busy for state in states if state.busy is not None]
    return WatchedDevice(
        name=name,
        mean_watts=fmean(watts) if watts else None,
        max_watts=max(watts, default=None),
        max_celsius=max(degrees, default=None),
        mean_clock_hz=fmean(clocks) if clocks else None,
        mean_busy=fmean(busy) if busy else None,
        throttled_by=tuple(dict.fromkeys(word for state in states for word in state.throttled_by or ())),
    )


def _summary_table(watched: Watched) -> Table:
    rows = tuple(
        (
            each.name,
            _shown(each.mean_watts, "W"),
            _shown(each.max_watts, "W"),
            _shown(each.max_celsius, "°C"),
            _clock(each.mean_clock_hz),
            show_percent(each.mean_busy) if each.mean_busy is not None else "",
            ", ".join(each.throttled_by),
        )
        for each in watched.devices
    )
    columns = ("device", "mean power", "most power", "hottest", "mean clock", "mean load", "held down by")
    told = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return Table(
        columns=tuple(columns[place] for place in told), rows=tuple(tuple(row[place] for place in told) for row in rows)
    )


def _notes(watched: Watched) -> tuple[str, ...]:
    return (f"{watched.samples} samples in {show_seconds(watched.seconds)}.",)


def _shown(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.0f} {unit}"


def _clock(hertz: float | None) -> str:
    return "" if hertz is None else show_hertz(hertz)
