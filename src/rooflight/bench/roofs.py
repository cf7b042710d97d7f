"""Every limit of a device that `bench roofs` measures, each beside its dense peak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch

from rooflight.bench.bandwidth import cache_load, cache_set_bytes, copy_load, triad_load, working_set_bytes
from rooflight.bench.engines import Engine, Peaks, dense_peak, product_engine, roof_dtypes, vector_dtypes
from rooflight.bench.launch import launch_time
from rooflight.bench.products import DTYPES, best_product, product_precision
from rooflight.bench.rates import load_average
from rooflight.bench.sustain import ENERGY_SECONDS, sustain
from rooflight.bench.timing import Load, measure_load
from rooflight.bench.transfers import transfer_rates
from rooflight.core.meters import Meter
from rooflight.core.roofs import MOST_OF_PEAK, Bandwidth, EngineRate, Roofs
from rooflight.core.types import Environment, Measurement

# What the bursts take, for the plan of the sustained runs: measured on two CPU cores, which are the slowest.
ROW_SECONDS, REST_SECONDS = 2.0, 6.0
LONGEST_SUSTAINED = 10.0
# Which rows get a sustained run first when there is no time for all.
PRIORITY = ("bfloat16", "float16", "copy", "tfloat32", "float32", "float8", "int8", "float64")


def measure_roofs(
    device: torch.device,
    *,
    name: str,
    memory_bytes: int,
    environment: Environment,
    peaks: Peaks,
    dtypes: tuple[str, ...] | None = None,
    cache_bytes: int | None = None,
    meter: Meter | None = None,
    why_meter: str = "no meter",
    seconds: float = 50.0,
    observe: Callable[[Measurement], object] = lambda measurement: None,
) -> Roofs:
    """The device's limits. Torch's thread count is taken as it is.

    dtypes   of the products; None: those that the device computes natively
    peaks    dense, from a catalogue or from the CPU's clock and units
    meter    reads power and clock during sustained runs; why_meter: what it reads, or why there is none
    seconds  for all: what the bursts leave is spent on sustained runs of ENERGY_SECONDS or more, in order of PRIORITY
    observe  is given each measurement as it comes
    raises   ConfigError for a dtype that is unknown, or that the device does not have
    """
    asked, why = (dtypes, "as asked") if dtypes is not None else roof_dtypes(device)
    for dtype in asked:
        with product_precision(device, dtype):
            pass  # a wrong dtype is said before anything is measured
    vectors = (
        vector_dtypes(device) if dtypes is None else tuple(each for each in vector_dtypes(device) if each in asked)
    )
    windows = sustained_seconds((*asked, "copy"), rows=len(asked) + len(vectors) + 3, budget_seconds=seconds)
    stage = _Stage(device=device, peaks=peaks, meter=meter, observe=observe)
    notes = [f"dtypes of products: {', '.join(asked)} ({why})", load_average()]
    engines = [*_products(stage, asked, windows, notes), *_vectors(stage, vectors, notes)]
    bandwidths = tuple(_bandwidths(stage, memory_bytes, cache_bytes, windows.get("copy"), notes))
    transfers = tuple(transfer_rates(device))
    launch = launch_time(device)
    for measurement in (*(each.measured for each in transfers), launch):
        observe(measurement)
    if len(windows) < len(asked) + 1:
        notes.append(
            f"sustained runs of {ENERGY_SECONDS:.0f} s or more: {', '.join(windows) or 'none'}; for the others "
            f"{seconds:.0f} s are too few, try a larger --seconds"
        )
    return Roofs(
        device=name,
        environment=environment,
        peaks=peaks.source,
        meter=why_meter,
        engines=tuple(engines),
        bandwidths=bandwidths,
        transfers=transfers,
        launch=launch,
        notes=tuple(notes),
        faults=faults(engines, bandwidths),
    )


def sustained_seconds(names: Sequence[str], *, rows: int, budget_seconds: float) -> dict[str, float]:
    """How long each row may be kept up: an equal part of what the bursts leave, or fewer rows at ENERGY_SECONDS."""
    left = budget_seconds - rows * ROW_SECONDS - REST_SECONDS
    fit = min(len(names), int(left / ENERGY_SECONDS)) if left > 0 else 0
    chosen = sorted(names, key=lambda name: PRIORITY.index(name) if name in PRIORITY else len(PRIORITY))[:fit]
    return {name: min(LONGEST_SUSTAINED, left / fit) for name in chosen}


def faults(engines: Sequence[EngineRate], bandwidths: Sequence[Bandwidth]) -> tuple[str, ...]:
    """A sentence for every figure above MOST_OF_PEAK."""
    names = [(f"{row.engine} {row.dtype}", row.share) for row in engines if row.above_peak]
    names += [(f"{row.pattern} of {row.level}", row.share) for row in bandwidths if row.above_peak]
    return tuple(
        f"{name} reached {share or 0:.0%} of its dense peak, which cannot be: the measurement or the peak is wrong. "
        "Please report it with this output."
        for name, share in names
    )


# ---------------------------------------------------------------- the parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What every row is measured with."""

    device: torch.device
    peaks: Peaks
    meter: Meter | None
    observe: Callable[[Measurement], object]

    def keep_up(self, load: Load, seconds: float | None) -> tuple[Measurement | None, float | None]:
        if seconds is None:
            return None, None
        measured, per_joule = sustain(load, self.device, seconds=seconds, meter=self.meter)
        self.observe(measured)
        return measured, per_joule


def _products(
    stage: _Stage, dtypes: Sequence[str], windows: dict[str, float], notes: list[str]
) -> Iterator[EngineRate]:
    for dtype in dtypes:
        try:
            with product_precision(stage.device, dtype):
                load, burst = best_product(stage.device, dtype)
                stage.observe(burst)
                sustained, per_joule = stage.keep_up(load, windows.get(dtype))
        except (RuntimeError, NotImplementedError) as error:  # a library without that kernel, or too little memory
            notes.append(f"{dtype} skipped: {_first_line(error)}")
            continue
        engine = product_engine(stage.device, dtype, stage.peaks.rates)
        yield _engine_rate(stage.peaks, engine, dtype, burst, sustained, per_joule)


def _vectors(stage: _Stage, dtypes: Sequence[str], notes: list[str]) -> Iterator[EngineRate]:
    if dtypes and find_spec("triton") is None:
        notes.append("vector units are not measured apart: the package triton is not installed")
        return
    for dtype in dtypes:
        from rooflight.bench.kernels import fma_load

        load = fma_load(stage.device, DTYPES[dtype][0], f"chains of FMA {dtype}, sums in {dtype}")
        burst = measure_load(load, stage.device)
        stage.observe(burst)
        yield _engine_rate(stage.peaks, "vector", dtype, burst, None, None)


def _engine_rate(
    peaks: Peaks,
    engine: Engine,
    dtype: str,
    burst: Measurement,
    sustained: Measurement | None,
    per_joule: float | None,
) -> EngineRate:
    published = dense_peak(peaks.rates, engine, dtype)
    peak = published.flops_per_second if published else None
    share = _share(peak, burst, sustained)
    return EngineRate(
        engine=engine,
        dtype=dtype,
        burst=burst,
        sustained=sustained,
        flops_per_joule=per_joule,
        peak_flops_per_second=peak,
        share=share,
        # A peak whose sources differ may be the one that is wrong: the share tells, and is no fault.
        above_peak=published is not None and published.sure and (share or 0) > MOST_OF_PEAK,
    )


def _bandwidths(
    stage: _Stage, memory_bytes: int, cache_bytes: int | None, seconds: float | None, notes: list[str]
) -> Iterator[Bandwidth]:
    device = stage.device
    set_bytes = working_set_bytes(device, memory_bytes=memory_bytes, cache_bytes=cache_bytes)
    for pattern, make in (("copy", copy_load), ("triad", triad_load)):
        load = make(device, set_bytes)
        burst = measure_load(load, device)
        stage.observe(burst)
        sustained, per_joule = stage.keep_up(load, seconds if pattern == "copy" else None)
        peak = stage.peaks.bytes_per_second
        share = _share(peak, burst, sustained)
        yield Bandwidth(
            level="memory",
            pattern=pattern,
            set_bytes=set_bytes,
            burst=burst,
            sustained=sustained,
            bytes_per_joule=per_joule,
            peak_bytes_per_second=peak,
            share=share,
            above_peak=stage.peaks.bytes_sure and share is not None and share > MOST_OF_PEAK,
        )
    inside = cache_set_bytes(device, cache_bytes)
    if inside is None or (device.type == "cuda" and find_spec("triton") is None):
        notes.append("the cache is not measured: its size is not known, or the package triton is not installed")
        return
    load = cache_load(device, inside)
    burst = measure_load(load, device)
    stage.observe(burst)
    pattern = "copy" if device.type == "cpu" else "read"
    yield Bandwidth(level="cache", pattern=pattern, set_bytes=inside, burst=burst)


def _share(peak: float | None, burst: Measurement, sustained: Measurement | None) -> float | None:
    return max(each.median for each in (burst, sustained) if each is not None) / peak if peak else None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
