"""The whole of `bench roofs`: shares, faults, what gets a sustained run, what is skipped."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rooflight.bench import bandwidth, engines, products, roofs, sustain
from rooflight.bench.engines import Peaks
from rooflight.bench.timing import Load
from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.roofs import Roofs
from rooflight.core.types import Environment, Measurement, Rate

CPU = torch.device("cpu")
HERE = Environment(
    device="here", system="a test", python="3", packages={}, threads=2, settings=(), commit=None, date="2026-01-01"
)


def fixed(name: str, unit: str, median: float) -> Measurement:
    return Measurement(name=name, unit=unit, median=median, low=median, high=median, n=9)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Roofs]:
    """A device of 100 FLOP/s in float32, 200 in bfloat16 and 10 B/s; sustained, it is a tenth slower."""
    rates = {"float32": 100.0, "bfloat16": 200.0}

    def best(device: torch.device, dtype: str) -> tuple[Load, Measurement]:
        if dtype not in rates:
            raise RuntimeError(f"no kernel for {dtype}.\nMore words.")
        load = Load(name=f"matmul {dtype}", unit="FLOP/s", work=1.0, run=lambda: None)
        return load, fixed(load.name, load.unit, rates[dtype])

    def keep_up(load: Load, device: torch.device, *, seconds: float, meter: object) -> tuple[Measurement, float]:
        burst = 10.0 if load.unit == "B/s" else rates[load.name.split()[1]]
        return fixed(f"{load.name}, sustained", load.unit, 0.9 * burst), 3.0

    monkeypatch.setattr(roofs, "best_product", best)
    monkeypatch.setattr(roofs, "sustain", keep_up)
    monkeypatch.setattr(roofs, "measure_load", lambda load, device: fixed(load.name, load.unit, 10.0))
    monkeypatch.setattr(roofs, "launch_time", lambda device: fixed("issue one operator", "s", 1e-6))

    def run(**changes: Any) -> Roofs:
        settings = {"peaks": Peaks(), "dtypes": ("float32", "bfloat16"), "cache_bytes": 1 << 12} | changes
        return roofs.measure_roofs(CPU, name="made up", memory_bytes=1 << 20, environment=HERE, **settings)

    return run


def peaks(float32: float, bytes_per_second: float, *, sure: bool = True) -> Peaks:
    rate = Rate(engine="vector", dtype="float32", accumulate="float32", flops_per_second=float32, sure=sure)
    return Peaks(rates=(rate,), bytes_per_second=bytes_per_second, source="made up")


def test_each_row_stands_beside_its_peak(made_up: Callable[..., Roofs]) -> None:
    found = made_up(peaks=peaks(125.0, 12.5))
    float32, bfloat16 = found.engines
    assert (float32.share, float32.above_peak) == (0.8, False)
    assert (bfloat16.peak_flops_per_second, bfloat16.share, bfloat16.above_peak) == (None, None, False)
    copy, triad, cache = found.bandwidths
    assert [copy.share, triad.share, cache.share] == [0.8, 0.8, None]  # a cache has no published peak here
    assert (copy.level, triad.pattern, cache.level, cache.set_bytes) == ("memory", "triad", "cache", 1 << 11)
    assert found.faults == ()


def test_more_than_102_percent_of_a_peak_is_a_fault(made_up: Callable[..., Roofs]) -> None:
    assert made_up(peaks=peaks(100 / 1.02 + 0.01, 10.0)).faults == ()
    found = made_up(peaks=peaks(100 / 1.03, 9.0))
    assert found.engines[0].above_peak
    assert [row.above_peak for row in found.bandwidths] == [True, True, False]
    assert len(found.faults) == 3
    assert "vector float32 reached 103% of its dense peak, which cannot be" in found.faults[0]


def test_a_peak_that_sources_differ_on_makes_no_fault(made_up: Callable[..., Roofs]) -> None:
    found = made_up(peaks=peaks(50.0, 12.5, sure=False))
    assert (found.engines[0].share, found.engines[0].above_peak, found.faults) == (2.0, False, ())


def test_a_bandwidth_that_is_not_sure_is_no_fault(made_up: Callable[..., Roofs]) -> None:
    found = made_up(peaks=dataclasses.replace(peaks(125.0, 9.0), bytes_sure=False))
    assert [row.share for row in found.bandwidths[:2]] == pytest.approx([10 / 9, 10 / 9])
    assert found.faults == ()


def test_a_sustained_rate_above_the_peak_is_a_fault_too(
    made_up: Callable[..., Roofs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roofs, "sustain", lambda load, *_, **__: (fixed(load.name, load.unit, 150.0), None))
    float32 = made_up(peaks=peaks(120.0, 1000.0), seconds=60.0).engines[0]
    assert (float32.share, float32.above_peak) == (1.25, True)


def test_sustained_runs_take_the_time_that_bursts_leave(made_up: Callable[..., Roofs]) -> None:
    found = made_up(seconds=60.0)
    assert [row.sustained.median for row in found.engines if row.sustained] == [90.0, 180.0]
    assert found.engines[0].flops_per_joule == 3.0
    none = made_up(seconds=1.0)
    assert [row.sustained for row in none.engines] == [None, None]
    assert any("sustained runs of 5 s or more: none" in note for note in none.notes)


def test_the_plan_of_sustained_runs() -> None:
    names = ("float64", "float32", "bfloat16", "copy")
    # 4 rows of 2 s and 6 s for the rest leave 26 s: four runs of 6.5 s; 16 s are three of 5.3, the first by priority.
    assert roofs.sustained_seconds(names, rows=4, budget_seconds=40.0) == dict.fromkeys(
        ("bfloat16", "copy", "float32", "float64"), 6.5
    )
    assert roofs.sustained_seconds(names, rows=4, budget_seconds=30.0) == pytest.approx(
        dict.fromkeys(("bfloat16", "copy", "float32"), 16 / 3)
    )
    assert roofs.sustained_seconds(names, rows=4, budget_seconds=18.0) == {}
    assert set(roofs.sustained_seconds(names, rows=4, budget_seconds=1000.0).values()) == {10.0}


def test_a_dtype_without_a_kernel_is_skipped_with_its_reason(made_up: Callable[..., Roofs]) -> None:
    found = made_up(dtypes=("float32", "float16"))
    assert [row.dtype for row in found.engines] == ["float32"]
    assert "float16 skipped: no kernel for float16" in found.notes


def test_a_wrong_dtype_is_said_before_anything_is_measured(made_up: Callable[..., Roofs]) -> None:
    seen: list[Measurement] = []
    with pytest.raises(ConfigError, match="bfloat16"):
        made_up(dtypes=("float32", "bfloat61"), observe=seen.append)
    assert seen == []


def test_the_answer_survives_json(made_up: Callable[..., Roofs]) -> None:
    found = made_up(peaks=peaks(125.0, 12.5), why_meter="no counter")
    assert from_json(Roofs, to_json(found)) == found
    assert (found.device, found.meter, found.peaks) == ("made up", "no counter", "made up")


def test_every_measurement_is_observed(made_up: Callable[..., Roofs]) -> None:
    seen: list[Measurement] = []
    made_up(seconds=60.0, observe=seen.append)
    assert [each.unit for each in seen] == ["FLOP/s"] * 4 + ["B/s"] * 4 + ["s"]


@pytest.mark.gpu
def test_bfloat16_products_reach_what_cublas_does_at_its_best_shape() -> None:
    from rooflight.bench.timing import measure_load

    device = torch.device("cuda", torch.cuda.current_device())
    ours = products.matmul_rate(device, "bfloat16").median
    sizes = ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 16384, 16384), (8192, 2048, 8192), (16384, 4096, 8192))
    best = max(measure_load(products.product_load(device, "bfloat16", size), device).median for size in sizes)
    assert ours > 0.9 * best


@pytest.mark.gpu
def test_the_energy_counter_agrees_with_the_power_that_is_read() -> None:
    from rooflight.hardware.detect import detect
    from rooflight.hardware.power import open_meter

    device = torch.device("cuda", torch.cuda.current_device())
    meter, why = open_meter(detect(), "cuda", device.index or 0)
    if meter is None or meter.joules() is None:
        pytest.skip(why)
    load = products.product_load(device, "float16", (8192, 8192, 8192))
    with sustain.Samples(meter) as samples:
        measured, _ = sustain.sustain(load, device, seconds=8.0, meter=meter)
    power = [state.power_watts for state in samples.states if state.power_watts is not None]
    assert measured.watts == pytest.approx(sum(power) / len(power), rel=0.1)
    meter.close()


@pytest.mark.gpu
def test_all_roofs_of_a_gpu_within_their_time() -> None:
    from time import perf_counter

    device = torch.device("cuda", torch.cuda.current_device())
    memory = torch.cuda.get_device_properties(device).total_memory
    begin = perf_counter()
    found = roofs.measure_roofs(device, name="here", memory_bytes=memory, environment=HERE, peaks=Peaks())
    assert perf_counter() - begin < 60
    assert {row.dtype for row in found.engines} >= set(engines.roof_dtypes(device)[0])
    assert len(found.transfers) == 4
    assert bandwidth.cache_set_bytes(device, None) in [row.set_bytes for row in found.bandwidths]
