"""A run while it goes on: what its speed is held against, its lines, its points in TensorBoard, its text on a bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import to_json
from rooflight.core.console import Console
from rooflight.core.live import StepRecord, Yardstick
from rooflight.core.types import GpuSpec, Trace
from rooflight.core.units import show_bytes_per_second, show_flops_per_second
from rooflight.flows.roof import catalogued
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from rooflight.train.events import EventWriter
    from rooflight.train.watch import Watcher

STEPS = "steps.jsonl"
EVENT_SECONDS = 1.0  # between points in TensorBoard, which take a while to write
UNKNOWN = "–"


def yardstick_of(setting: Setting, trace: Trace | None, roof: GpuSpec | None = None, *, devices: int = 1) -> Yardstick:
    """What a step asks for, and what the device could do at best.

    A GPU's peaks are the catalogue's. A CPU's arithmetic is counted from its cores and clock, its memory as `bench
    calibrate` measured it: no data sheet knows how many modules are plugged in.

    trace    of a step; None: the model cannot be traced
    roof     the device's measured roof; None: the calibration in the user's cache folder, if it fits
    devices  that share a step
    """
    from rooflight.estimate.roofline import PRODUCTS
    from rooflight.flows.calibration import calibrated_roof

    dtype = setting.precision
    if roof is None:
        roof, _ = calibrated_roof(setting.device, setting.machine, (dtype,))
    sheet = catalogued(setting.device)
    if sheet is not None:
        flops, source = sheet.flops_per_second.get(dtype), sheet.name
        bandwidth: float | None = sheet.bytes_per_second
    else:
        cpu = setting.machine.cpu if setting.device.type == "cpu" else None
        flops = cpu.peak_flops_per_second.get(dtype) if cpu else None
        source = "cores × units × clock" if flops else "measured"
        flops = flops or (roof.flops_per_second.get(dtype) if roof else None)
        bandwidth = roof.bytes_per_second if roof else None
    batch = trace.workload.batch if trace else 1
    return Yardstick(
        flops_per_sample=sum(op.flops for op in trace.ops if op.kind in PRODUCTS) / batch if trace else None,
        bytes_per_sample=trace.bytes / batch if trace else None,
        flops_per_second=flops,
        bytes_per_second=bandwidth,
        devices=devices,
        source=source if flops else "",
    )


def describe_yardstick(yardstick: Yardstick, dtype: str) -> str:
    """What MFU and the share of memory are shares of; and what to do where one of them is not known."""
    parts = []
    if yardstick.flops_per_second:
        peak = show_flops_per_second(yardstick.flops_per_second)
        parts.append(f"MFU of {peak}, the dense {dtype} peak ({yardstick.source})")
    if yardstick.bytes_per_second:
        parts.append(f"memory of {show_bytes_per_second(yardstick.bytes_per_second)}")
    told = f"shares of the roofline: {'; '.join(parts) or 'none, as no peak is known'}"
    if yardstick.flops_per_sample is None:
        return f"{told}; the model cannot be traced, so that what it asks for is not known"
    missing = not (yardstick.flops_per_second and yardstick.bytes_per_second)
    return f"{told}; rooflight bench calibrate measures what is missing" if missing else told


@contextmanager
def watching(
    run: Path,
    setting: Setting,
    yardstick: Yardstick,
    *,
    lr: Callable[[int], float],
    log_every: int,
    events: EventWriter,
    console: Console,
    show: Callable[[Sequence[str]], None],
) -> Iterator[Watcher]:
    """A watcher of the run, whose lines go to RUN/steps.jsonl and TensorBoard, and whose text to `show`."""
    from rooflight.hardware.power import open_meter
    from rooflight.train.watch import Watcher

    meter, why = open_meter(setting.machine, setting.device.type, setting.device.index or 0)
    powered = meter is not None and meter.joules() is not None
    console.say(f"power: {why}" if powered else f"power: not known: {why}")
    try:
        yield Watcher(
            setting.device,
            yardstick,
            lr=lr,
            log_every=log_every,
            on_log=StepLog(run / STEPS, events),
            show_seconds=console.live_seconds,
            on_show=lambda record: show(live_words(record)),
            joules=meter.joules if meter is not None else lambda: None,
        )
    finally:
        if meter is not None:
            meter.close()


class StepLog:
    """Writes each record as a line, and now and then as points of TensorBoard."""

    def __init__(self, path: Path, events: EventWriter, now: Callable[[], float] = time.monotonic) -> None:
        self.path, self.events, self.now = path, events, now
        self.then = float("-inf")

    def __call__(self, record: StepRecord) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(to_json(record, indent=None) + "\n")
        if self.now() - self.then >= EVENT_SECONDS:
            self.then = self.now()
            self.events.scalars(record.step, step_points(record))


def step_points(record: StepRecord) -> dict[str, float]:
    """What is known of a step, by TensorBoard's tags."""
    points = {
        "step/loss": record.loss,
        "step/learning_rate": record.lr,
        "step/samples_per_second": record.samples_per_second,
        "step/mfu": record.mfu,
        "step/memory_share": record.memory_share,
        "step/data_wait_share": record.data_wait_share,
        "step/watts": record.watts,
    }
    return {tag: value for tag, value in points.items() if value is not None}


def live_words(record: StepRecord) -> tuple[str, ...]:
    """How it goes just now, the most important first."""
    words = [
        f"loss {UNKNOWN if record.loss is None else format(record.loss, '.3g')}",
        f"MFU {_percent(record.mfu)}",
        f"memory {_percent(record.memory_share)}",
        f"waits for data {_percent(record.data_wait_share)}",
    ]
    return (*words, f"{record.watts:.0f} W") if record.watts is not None else tuple(words)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"
