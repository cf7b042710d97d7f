"""Automatic choices and their reasons."""

import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.train.device import dtype_name, pick_device, pick_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("isa", "expected"),
    [
        (("avx2", "fma"), torch.float32),
        (("avx2", "avx512f", "avx512_bf16"), torch.bfloat16),
        (("amx_tile", "amx_bf16"), torch.bfloat16),
        ((), torch.float32),
    ],
)
def test_the_cpus_dtype_is_what_it_multiplies_in_hardware(isa: tuple[str, ...], expected: torch.dtype) -> None:
    dtype, why = pick_dtype("auto", CPU, isa)
    assert dtype is expected
    assert why


def test_what_is_asked_is_done() -> None:
    assert pick_dtype("float16", CPU, ()) == (torch.float16, "as asked")
    assert pick_device("cpu") == (CPU, "as asked")
    assert dtype_name(torch.bfloat16) == "bfloat16"


@pytest.mark.parametrize("asked", ["cuda:99", "gpu", "tpu", "meta", ""])
def test_a_device_that_is_not_there_is_said(asked: str) -> None:
    with pytest.raises(ConfigError, match="--device"):
        pick_device(asked)


@pytest.mark.gpu
def test_a_gpu_is_preferred() -> None:
    device, _ = pick_device("auto")
    assert device.type == "cuda"
    assert pick_dtype("auto", device, ())[0] is not None
