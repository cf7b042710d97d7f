"""Rooflines: what is measured, how much work is counted, and what is put back afterwards."""

import json
import math

import pytest
import torch

from rooflight.bench import rates
from rooflight.core.codec import to_json
from rooflight.core.types import Measurement

CPU = torch.device("cpu")


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


def test_the_roof_of_this_cpu() -> None:
    seen: list[Measurement] = []
    roof = rates.measure_roof(
        CPU, memory_bytes=1 << 26, name="here", dtypes=("float32",), cache_bytes=1 << 20, observe=seen.append
    )
    assert [each.unit for each in seen] == ["FLOP/s", "FLOP/s", "B/s", "s"]
    assert all(0 < each.low <= each.median <= each.high < math.inf for each in seen)
    assert roof.flops_per_second == {"float32": max(seen[0].median, seen[1].median)}
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
