"""Which engine, which dtypes, which peak."""

import pytest
import torch

from rooflight.bench import engines
from rooflight.core.types import Rate

CPU = torch.device("cpu")


def rate(engine: str, dtype: str, flops_per_second: float, accumulate: str = "float32") -> Rate:
    return Rate(engine=engine, dtype=dtype, accumulate=accumulate, flops_per_second=flops_per_second)  # type: ignore[arg-type]


# An RTX 4090, as its maker publishes it: float16 products that sum in float32 run at half the rate.
RTX_4090 = (
    rate("vector", "float32", 82.6e12),
    rate("vector", "float16", 82.6e12, "float16"),
    rate("matrix", "float16", 330.3e12, "float16"),
    rate("matrix", "float16", 165.2e12),
    rate("matrix", "int8", 660.6e12, "int32"),
)


def test_the_peak_is_of_the_engine_and_of_sums_as_pytorch_makes_them() -> None:
    def peak(engine: engines.Engine, dtype: str) -> float | None:
        found = engines.dense_peak(RTX_4090, engine, dtype)
        return found and found.flops_per_second

    assert peak("matrix", "float16") == 165.2e12
    assert peak("vector", "float16") == 82.6e12  # there is only one
    assert peak("matrix", "int8") == 660.6e12
    assert peak("matrix", "float64") is None


def test_a_product_runs_where_the_peaks_say() -> None:
    cuda = torch.device("cuda")
    assert engines.product_engine(cuda, "float16", RTX_4090) == "matrix"
    assert engines.product_engine(cuda, "float32", RTX_4090) == "vector"
    # Without peaks: float32 and float64 on the vector units, the others on Tensor Cores.
    assert engines.product_engine(cuda, "float32", ()) == "vector"
    assert engines.product_engine(cuda, "bfloat16", ()) == "matrix"


@pytest.mark.parametrize(
    ("capabilities", "dtypes", "engine"),
    [
        ({}, ("float64", "float32"), "vector"),
        ({"avx512_bf16": True, "avx512_vnni": True}, ("float64", "float32", "bfloat16", "int8"), "vector"),
        ({"amx_bf16": True, "amx_int8": True}, ("float64", "float32", "bfloat16", "int8"), "matrix"),
    ],
)
def test_a_cpu_has_what_its_extensions_multiply(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtypes: tuple[str, ...], engine: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    found, why = engines.roof_dtypes(CPU)
    assert found == dtypes
    assert ("no int8" in why) == ("int8" not in dtypes)
    assert engines.product_engine(CPU, "bfloat16", ()) == engine
    assert engines.product_engine(CPU, "float32", ()) == "vector"
    assert engines.vector_dtypes(CPU) == ()


@pytest.mark.parametrize(
    ("capability", "dtypes", "vectors"),
    [
        ((7, 0), ("float64", "float32", "float16"), ("float64", "float32", "float16")),
        ((7, 5), ("float64", "float32", "float16", "int8"), ("float64", "float32", "float16")),
        (
            (8, 0),
            ("float64", "float32", "tfloat32", "bfloat16", "float16", "int8"),
            ("float64", "float32", "float16", "bfloat16"),
        ),
        (
            (9, 0),
            ("float64", "float32", "tfloat32", "bfloat16", "float16", "float8", "int8"),
            ("float64", "float32", "float16", "bfloat16"),
        ),
    ],
)
def test_an_nvidia_gpu_has_what_its_compute_capability_multiplies(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtypes: tuple[str, ...], vectors: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert engines.roof_dtypes(torch.device("cuda"))[0] == dtypes
    assert engines.vector_dtypes(torch.device("cuda")) == vectors
