"""Derived peaks against published ones: rates × units × clock is within 1 % of the maker's figure.

datasheet_peaks.csv has the figures with their sources; "recalled" is a document that was not re-read for it. Figures of
a card with several devices are the card's.
"""

import csv
from pathlib import Path

import pytest

from rooflight.catalogue.load import catalogue

BY_NAME = {spec.name: spec for spec in catalogue()}
with Path(__file__).with_name("datasheet_peaks.csv").open(encoding="utf-8", newline="") as file:
    PUBLISHED = list(csv.DictReader(file))

# (entry, engine, dtype) → derived / published − 1, and why
EXCEPTIONS = {
    ("Tesla P40", "vector", "float32"): (-0.020, "published as 12, rounded up"),
    ("Tesla P4", "vector", "float32"): (-0.010, "published as 5.5, rounded"),
    ("Tesla P4", "vector", "int8"): (-0.010, "published as 22, rounded"),
    ("TITAN V", "matrix", "float16"): (0.084, "published as 110, below the boost clock; in its conflicts"),
    ("L40S", "matrix", "bfloat16"): (0.012, "published as 362.05, all other figures fit 2520 MHz"),
    ("B300 SXM 270GB", "vector", "float64"): (-0.038, "published as 1.25, rounded"),
    ("B300 SXM 270GB", "vector", "float32"): (0.027, "2032 MHz is not the maker's; in its conflicts"),
    ("Jetson Orin Nano 8GB", "matrix", "int8"): (0.024, "40 sparse TOPS, rounded"),
    ("Jetson Orin Nano Super 8GB", "matrix", "float16"): (-0.017, "published as 17, rounded"),
    ("Jetson AGX Xavier 32GB", "matrix", "float16"): (0.025, "published as 11, rounded"),
    ("Jetson AGX Xavier 32GB", "matrix", "int8"): (0.025, "published as 22, rounded"),
    ("GB10 128GB", "matrix", "float4"): (-0.049, "1 PFLOP sparse, rounded; in its conflicts"),
    ("Arc A770 16GB", "matrix", "int8"): (0.051, "Intel counts with 2.0 GHz; in its conflicts"),
}


def deviation(row: dict[str, str]) -> float:
    spec = BY_NAME[row["gpu"]]
    wanted = (row["engine"], row["dtype"], row["accumulate"])
    (rate,) = (rate for rate in spec.rates if (rate.engine, rate.dtype, rate.accumulate) == wanted)
    return rate.flops_per_second * spec.devices_per_card / (float(row["dense_tflops"]) * 1e12) - 1


@pytest.mark.parametrize(
    "row", PUBLISHED, ids=lambda row: f"{row['gpu']} {row['engine']} {row['dtype']} {row['accumulate']}"
)
def test_the_derived_peak_is_the_published_one(row: dict[str, str]) -> None:
    key = (row["gpu"], row["engine"], row["dtype"])
    if key in EXCEPTIONS:
        known, _ = EXCEPTIONS[key]
        assert deviation(row) == pytest.approx(known, abs=0.001)
    else:
        assert abs(deviation(row)) <= 0.01


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["gpu"])
def test_memory_bandwidth_and_power_are_the_published_ones(row: dict[str, str]) -> None:
    spec = BY_NAME[row["gpu"]]
    for key, value in (
        ("memory_gib", spec.memory_bytes / 2**30),
        ("gb_per_second", spec.bytes_per_second / 1e9),
        ("tdp_watts", spec.tdp_watts),
    ):
        if row[key]:
            assert value is not None
            assert value * spec.devices_per_card == pytest.approx(float(row[key]), rel=0.01)


def test_figures_have_sources_and_exceptions_are_used() -> None:
    assert len(PUBLISHED) >= 400
    assert all(row["source"] for row in PUBLISHED)
    assert set(EXCEPTIONS) <= {(row["gpu"], row["engine"], row["dtype"]) for row in PUBLISHED}
    assert len(EXCEPTIONS) <= 0.04 * len(PUBLISHED)


# Best matrix product measured by NVIDIA's aiconfigurator-core 0.12.0 (Apache-2.0), FLOP/s: none may be above the peak.
MEASURED = {
    ("A100 SXM4 80GB", "bfloat16"): 299.0e12,
    ("H100 SXM5 80GB", "bfloat16"): 956.0e12,
    ("H100 SXM5 80GB", "float8"): 1600.6e12,
    ("H200 SXM 141GB", "bfloat16"): 940.1e12,
    ("B200 SXM 180GB", "bfloat16"): 2102.2e12,
    ("B200 SXM 180GB", "float4"): 5298.0e12,
    ("B300 SXM 270GB", "bfloat16"): 2223.3e12,
    ("GB200 186GB", "bfloat16"): 2179.5e12,
    ("GB300 279GB", "bfloat16"): 2333.8e12,
    ("L40S", "bfloat16"): 297.4e12,
    ("RTX PRO 6000 Blackwell Server", "bfloat16"): 458.8e12,
    ("Arc Pro B60", "bfloat16"): 98.2e12,
}


@pytest.mark.parametrize(("name", "dtype"), MEASURED)
def test_no_measured_product_is_above_the_peak(name: str, dtype: str) -> None:
    share = MEASURED[name, dtype] / BY_NAME[name].flops_per_second[dtype]
    assert share <= 1.0
    assert dtype != "bfloat16" or share >= 0.8  # a peak that is twice too high would show


@pytest.mark.parametrize(
    ("name", "dtype", "tera"),
    [
        ("GeForce RTX 4090", "float16", 165.2),  # not 330, which sums in float16
        ("GeForce GTX 1660 Ti", "float16", 5.4),  # capability 7.5 without Tensor Cores
        ("Tesla P100 SXM2 16GB", "float16", 10.6),  # 21.2 sums in float16
        ("Instinct MI100 32GB", "float32", 46.1),  # its Matrix Cores do float32
        ("Instinct MI250X 64GB", "bfloat16", 191.5),  # one of two devices
        ("A10G", "bfloat16", 70.0),
        ("H20 96GB", "bfloat16", 148.0),
    ],
)
def test_what_pytorch_reaches(name: str, dtype: str, tera: float) -> None:
    assert BY_NAME[name].flops_per_second[dtype] == pytest.approx(tera * 1e12, rel=0.01)


@pytest.mark.parametrize(
    ("name", "dtype"), [("T4", "bfloat16"), ("Instinct MI355X 288GB", "tfloat32"), ("A100 SXM4 80GB", "float8")]
)
def test_a_dtype_that_is_not_there_is_missing(name: str, dtype: str) -> None:
    assert dtype not in BY_NAME[name].flops_per_second
