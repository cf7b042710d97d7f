"""How long a callable takes: warmed up, in blocks long enough for the clock, synchronised inside the timed region."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch

from rooflight.core.errors import ConfigError
from rooflight.core.types import Environment, Measurement

LEAST_BLOCKS = 7  # fewer have no quartiles worth printing


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a rate is measured of: a callable, and the work that one call gets done."""

    name: str
    unit: str  # of the rate: "FLOP/s", "B/s"
    work: float  # FLOPs or bytes
    run: Callable[[], object]


def measure_load(load: Load, device: torch.device) -> Measurement:
    """The rate of a load in a burst: a tenth of a second to warm up, then nine blocks of 20 ms or more."""
    return measure(load.run, name=load.name, device=device, unit=load.unit, work_per_call=load.work)


def measure(
    run: Callable[[], object],
    *,
    name: str,
    device: torch.device,
    unit: str = "s",
    work_per_call: float | None = None,
    blocks: int = 9,
    block_seconds: float = 0.02,
    warm_up_seconds: float = 0.1,
    environment: Environment | None = None,
) -> Measurement:
    """Seconds per call, or a rate if the work of one call is given: median and quartiles over blocks of calls.

    unit             "s", or the rate's: "FLOP/s", "samples/s"
    work_per_call    FLOPs, bytes, samples that one call gets done; the rate is work_per_call / seconds per call
    blocks           how many blocks are timed, at least 7; a call longer than block_seconds is a block by itself
    warm_up_seconds  spent in calls before the first block, at least; the very first call is never counted
    raises           ConfigError if unit and work_per_call disagree, or there are too few blocks
    """
    _check(unit, work_per_call, blocks)
    calls = warm_up(run, device, block_seconds=block_seconds, warm_up_seconds=warm_up_seconds)
    seconds = [timed_block(run, calls, device) / calls for _ in range(blocks)]
    values = seconds if work_per_call is None else [work_per_call / each for each in seconds]
    return summarise(values, name=name, unit=unit, environment=environment)


def summarise(values: Sequence[float], *, name: str, unit: str, environment: Environment | None = None) -> Measurement:
    """Median and quartiles of at least two repeats."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Measurement(name=name, unit=unit, median=median, low=low, high=high, n=len(values), environment=environment)


def timed_block(run: Callable[[], object], calls: int, device: torch.device) -> float:
    """Seconds that a number of calls take together, to the end of the last one's work on the device.

    On CUDA the clock is the device's own, between two events in the current stream: work that `run` leaves in
    another stream is not waited for.
    """
    if device.type == "cuda":
        return _cuda_block(run, calls, device)
    synchronise(device)
    start = perf_counter()
    for _ in range(calls):
        run()
    synchronise(device)
    return perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what was asked of it."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _cuda_block(run: Callable[[], object], calls: int, device: torch.device) -> float:
    with torch.cuda.device(device):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(calls):
            run()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000  # events count milliseconds


def warm_up(run: Callable[[], object], device: torch.device, *, block_seconds: float, warm_up_seconds: float) -> int:
    """Call until the device is warm; returns how many calls fill a block."""
    timed_block(run, 1, device)  # loads libraries, picks kernels, grows allocators: says nothing of the next call
    calls, spent = 1, 0.0
    while True:
        seconds = timed_block(run, calls, device)
        spent += seconds
        if seconds < block_seconds:
            calls *= 2
        elif spent >= warm_up_seconds:
            return max(1, math.ceil(calls * block_seconds / seconds))


def _check(unit: str, work_per_call: float | None, blocks: int) -> None:
    if work_per_call is None and unit != "s":
        raise ConfigError(f"a measurement in {unit!r} needs work_per_call; without it the unit is 's'.")
    if work_per_call is not None and not (unit.endswith("/s") and work_per_call > 0):
        raise ConfigError(
            f"work_per_call={work_per_call} in {unit!r} is no rate: try a unit such as 'FLOP/s' and work above zero."
        )
    if blocks < LEAST_BLOCKS:
        raise ConfigError(f"{blocks} blocks are too few for a median and quartiles; try {LEAST_BLOCKS} or more.")
