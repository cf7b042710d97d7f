"""Rooflines: what is measured, how much work is counted, and what is put back afterwards."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from rooflight.bench import rates
from rooflight.core.codec import to_json
from rooflight.core.errors import ConfigError
from rooflight.core.types import Measurement

CPU = torch.device("cpu")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the stopwatch: every measurement runs once and takes one second."""
    seen: list[dict[str, Any]] = []

    def once(run: Callable[[], object], **what: Any) -> Measurement:
        seen.append({"result": run(), "name": what["name"], "work": what["work_per_call"]})
        return Measurement(name=what["name"], unit=what["unit"], median=what["work_per_call"], low=0, high=0, n=1)

    monkeypatch.setattr(rates, "measure", once)
    monkeypatch.setattr(rates, "_probe", lambda device, dtype, side: 1.0)  # a slow device: the smallest products
    return seen


def test_a_product_counts_two_flops_per_multiply_add(counted: list[dict[str, Any]]) -> None:
    rates.matmul_rate(CPU, "float32")
    assert [each["work"] for each in counted] == [2 * 256 * 256 * 256] * 3
    assert [each["name"] for each in counted] == [
        "matmul float32 256×256×256",
        "matmul float32 512×128×256",
        "matmul float32 128×512×256",
    ]
    assert [tuple(each["result"].shape) for each in counted] == [(256, 256), (512, 256), (128, 256)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_operands_are_random_and_of_the_dtype(counted: list[dict[str, Any]], dtype: str) -> None:
    rates.matmul_rate(CPU, dtype)
    product = counted[0]["result"]
    assert product.dtype == getattr(torch, dtype)
    # An entry is the sum of 256 products of two normal numbers: its standard deviation is 16.
    assert product.float().std().item() == pytest.approx(16, rel=0.1)


def test_a_copy_counts_read_and_write(counted: list[dict[str, Any]]) -> None:
    rates.copy_rate(CPU, 8000)
    (copy,) = counted
    assert copy["work"] == 8000  # 4000 bytes read and 4000 written
    assert copy["result"].nbytes == 4000
    assert torch.count_nonzero(copy["result"]) == 999  # all but sin(0)


def test_the_working_set_is_past_the_cache_and_within_the_memory() -> None:
    def size(memory_bytes: int, cache_bytes: int | None) -> int:
        return rates.working_set_bytes(CPU, memory_bytes=memory_bytes, cache_bytes=cache_bytes)

    assert size(1 << 40, 384 << 20) == 4 * (384 << 20)
    assert size(1 << 40, None) == 256 << 20
    assert size(1 << 30, 384 << 20) == 1 << 27


def test_the_fastest_shape_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_probe", lambda device, dtype, side: 1.0)
    speeds = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(
        rates,
        "measure",
        lambda run, *, name, unit, **_: Measurement(name=name, unit=unit, median=next(speeds), low=0, high=0, n=1),
    )
    assert rates.matmul_rate(CPU, "float32").name == "matmul float32 512×128×256"


@pytest.mark.parametrize(
    ("probe", "side"),
    [
        (lambda side: side**3 / 1e11, 768),  # a quiet CPU of 0.2 TFLOP/s: 1000³ takes 10 ms
        (lambda side: side**3 / 4e14, 15872),  # a GPU of 0.8 PFLOP/s that any product fills
        (lambda side: max(1e-5, side**3 / 4e14), 15872),  # the same with 10 µs to issue one
        (lambda side: side**3 / 1e9, 256),  # emulation
        (lambda side: 8e-3 + side**3 / 1e11, 1024),  # a CPU whose threads wait 8 ms for one another at every product
    ],
)
def test_products_are_as_large_as_the_device_needs(
    monkeypatch: pytest.MonkeyPatch, probe: Callable[[int], float], side: int
) -> None:
    monkeypatch.setattr(rates, "_probe", lambda device, dtype, side: probe(side))
    assert rates._size(CPU, torch.float32) == side


def test_float32_is_not_rounded_and_the_setting_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = torch.backends.mkldnn.matmul
    before, seen = backend.fp32_precision, []
    monkeypatch.setattr(rates, "_size", lambda device, dtype: seen.append(backend.fp32_precision) or 256)
    monkeypatch.setattr(rates, "_shape_rate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rates.matmul_rate(CPU, "float32")
    assert seen == ["ieee"]
    assert backend.fp32_precision == before


@pytest.mark.parametrize(("dtype", "told"), [("bfloat61", "bfloat16"), ("tfloat32", "Tensor Cores"), ("int8", "Known")])
def test_a_dtype_that_cannot_be(dtype: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        rates.matmul_rate(CPU, dtype)


@pytest.mark.parametrize(
    ("capabilities", "dtypes"),
    [
        ({"avx2": True}, ("float32",)),
        ({"avx512_bf16": True, "avx512_fp16": False}, ("float32", "bfloat16")),
        ({"amx_bf16": True, "avx512_fp16": True}, ("float32", "bfloat16", "float16")),
        ({"bf16": True, "fp16_arith": True}, ("float32", "bfloat16", "float16")),
    ],
)
def test_emulated_dtypes_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtypes: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    found, why = rates.native_dtypes(CPU)
    assert found == dtypes
    assert ("no bfloat16" in why) == ("bfloat16" not in dtypes)


def test_a_torch_that_does_not_know_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert rates.native_dtypes(CPU)[0] == ("float32",)


def test_launch_time_is_of_one_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"now": 0.0}
    modes = set()

    def add(x: torch.Tensor, y: torch.Tensor) -> None:
        modes.add((x.numel(), torch.is_inference_mode_enabled()))
        clock["now"] += 0.5

    monkeypatch.setattr(torch, "add", add)
    monkeypatch.setattr(rates, "perf_counter", lambda: clock["now"])
    found = rates.launch_time(CPU, blocks=3, calls=4)
    assert (found.median, found.unit, found.n) == (0.5, "s", 3)
    assert modes == {(1, True)}


def test_the_roof_of_this_cpu() -> None:
    seen: list[Measurement] = []
    roof = rates.measure_roof(
        CPU, memory_bytes=1 << 26, name="here", dtypes=("float32",), cache_bytes=1 << 20, observe=seen.append
    )
    assert [each.unit for each in seen] == ["FLOP/s", "B/s", "s"]
    assert all(0 < each.low <= each.median <= each.high < math.inf for each in seen)
    assert roof.flops_per_second == {"float32": seen[0].median}
    assert (roof.bytes_per_second, roof.launch_seconds) == (seen[1].median, seen[2].median)
    assert f"torch {torch.__version__}, {torch.get_num_threads()} threads" in roof.source
    assert json.loads(to_json(roof))["name"] == "here"


def test_what_was_unsteady_is_named() -> None:
    def measured(name: str, low: float, high: float) -> Measurement:
        return Measurement(name=name, unit="B/s", median=100, low=low, high=high, n=9)

    assert rates.unsteady([measured("a", 95, 105), measured("b", 90, 110)]) == ""
    assert rates.unsteady([measured("a", 95, 105), measured("b", 60, 110)]).endswith("idle: b")


@pytest.mark.gpu
def test_the_roof_of_this_gpu() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    memory = torch.cuda.get_device_properties(device).total_memory
    before = torch.backends.cuda.matmul.fp32_precision
    roof = rates.measure_roof(device, memory_bytes=memory, name="here")
    assert torch.backends.cuda.matmul.fp32_precision == before
    assert roof.driver_names == (torch.cuda.get_device_name(device),)
    assert 1e10 < roof.bytes_per_second < 5e13
    assert all(1e10 < rate < 5e15 for rate in roof.flops_per_second.values())
    assert 0 < (roof.launch_seconds or 0) < 1e-3
    # float16 runs on Tensor Cores or packed units: slower than exact float32 would mean that the mode was not set.
    assert roof.flops_per_second["float16"] > roof.flops_per_second["float32"]
