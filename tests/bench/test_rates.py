"""Rooflines: what is measured, how much work is counted, and what is put back afterwards."""

import itertools
import json
import math
from typing import Any

import pytest
import torch

from rooflight.bench import rates
from rooflight.core.codec import to_json
from rooflight.core.types import Measurement

CPU = torch.device("cpu")


def test_a_copy_counts_read_and_write(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(rates, "measure", lambda run, **what: seen.append({"result": run(), **what}))
    rates.copy_rate(CPU, 8000)
    (copy,) = seen
    assert copy["work_per_call"] == 8000  # 4000 bytes read and 4000 written
    assert copy["result"].nbytes == 4000
    assert torch.count_nonzero(copy["result"]) == 999  # all but sin(0)


def test_the_working_set_is_past_the_cache_and_within_the_memory() -> None:
    def size(memory_bytes: int, cache_bytes: int | None) -> int:
        return rates.working_set_bytes(CPU, memory_bytes=memory_bytes, cache_bytes=cache_bytes)

    assert size(1 << 40, 384 << 20) == 4 * (384 << 20)
    assert size(1 << 40, None) == 256 << 20
    assert size(1 << 30, 384 << 20) == 1 << 27


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


def test_launch_time_is_a_step_over_its_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that moves by a second whenever it is read, a block of 20 steps takes one second."""
    ticks = itertools.count()
    monkeypatch.setattr(rates, "perf_counter", lambda: float(next(ticks)))
    found = rates.launch_time(CPU, blocks=3, calls=20)
    assert (found.unit, found.n) == ("s", 3)
    operators = 1 / (found.median * 20)
    # At least: forward 16, sum, backward 8 × (input and weight gradient, bias sum) but for the first input, optimizer.
    assert operators == pytest.approx(round(operators))
    assert 16 + 1 + 23 + 1 <= operators <= 120


def test_the_roof_of_this_cpu() -> None:
    seen: list[Measurement] = []
    roof = rates.measure_roof(
        CPU, memory_bytes=1 << 26, name="here", dtypes=("float32",), cache_bytes=1 << 20, observe=seen.append
    )
    assert [each.unit for each in seen] == ["FLOP/s", "FLOP/s", "B/s", "s"]
    assert all(0 < each.low <= each.median <= each.high < math.inf for each in seen)
    assert roof.flops_per_second == {"float32": seen[0].median}
    assert roof.kind_flops_per_second == {"convolution": {"float32": seen[1].median}}
    assert (roof.bytes_per_second, roof.launch_seconds) == (seen[2].median, seen[3].median)
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
