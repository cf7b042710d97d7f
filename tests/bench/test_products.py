"""Products and convolutions: how much work is counted, on what operands, and what is put back afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rooflight.bench import products, timing
from rooflight.core.errors import ConfigError
from rooflight.core.types import Measurement

CPU = torch.device("cpu")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace the stopwatch: every measurement runs once and takes one second."""
    seen: list[dict[str, Any]] = []

    def once(run: Callable[[], object], *, name: str, unit: str, work_per_call: float, **_: object) -> Measurement:
        seen.append({"result": run(), "name": name, "work": work_per_call})
        return Measurement(name=name, unit=unit, median=work_per_call, low=0, high=0, n=1)

    monkeypatch.setattr(timing, "measure", once)
    monkeypatch.setattr(products, "measure", once)
    monkeypatch.setattr(products, "_probe", lambda device, dtype, side: 1.0)  # a slow device: the smallest products
    return seen


def test_a_product_counts_two_flops_per_multiply_add(counted: list[dict[str, Any]]) -> None:
    products.matmul_rate(CPU, "float32")
    assert [each["work"] for each in counted] == [2 * 256 * 256 * 256] * 3
    assert [each["name"] for each in counted] == [
        "matmul float32 256×256×256",
        "matmul float32 512×128×256",
        "matmul float32 128×512×256",
    ]
    assert [tuple(each["result"].shape) for each in counted] == [(256, 256), (512, 256), (128, 256)]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_operands_are_random_and_of_the_dtype(counted: list[dict[str, Any]], dtype: str) -> None:
    products.matmul_rate(CPU, dtype)
    product = counted[0]["result"]
    assert product.dtype == getattr(torch, dtype)
    # An entry is the sum of 256 products of two normal numbers: its standard deviation is 16.
    assert product.float().std().item() == pytest.approx(16, rel=0.1)


def test_the_fastest_shape_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_probe", lambda device, dtype, side: 1.0)
    speeds = iter([1.0, 3.0, 2.0])
    monkeypatch.setattr(
        products,
        "measure_load",
        lambda load, device: Measurement(name=load.name, unit=load.unit, median=next(speeds), low=0, high=0, n=1),
    )
    with products.product_precision(CPU, "float32"):
        load, burst = products.best_product(CPU, "float32")
    assert load.name == burst.name == "matmul float32 512×128×256"
    assert burst.median == 3.0


def test_float32_is_not_rounded_and_the_setting_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = torch.backends.mkldnn.matmul
    before, seen = backend.fp32_precision, []
    monkeypatch.setattr(products, "_size", lambda device, dtype: seen.append(backend.fp32_precision) or 256)
    monkeypatch.setattr(products, "product_load", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        products.matmul_rate(CPU, "float32")
    assert seen == ["ieee"]
    assert backend.fp32_precision == before


@pytest.mark.parametrize(
    ("dtype", "told"), [("bfloat61", "bfloat16"), ("tfloat32", "Tensor Cores"), ("int4", "Did you mean")]
)
def test_a_dtype_that_cannot_be(dtype: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        products.matmul_rate(CPU, dtype)


def test_narrow_products_are_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """8-bit operands against the same product in float64."""
    given: list[torch.Tensor] = []
    real = torch.randint

    def remember(*arguments: Any, **options: Any) -> torch.Tensor:
        given.append(real(*arguments, **options))
        return given[-1]

    monkeypatch.setattr(torch, "randint", remember)
    load = products.product_load(CPU, "int8", (32, 64, 16))
    result = load.run()
    assert isinstance(result, torch.Tensor)
    a, b = (each.double() for each in given)
    assert result.dtype == torch.int32
    assert torch.equal(result.double(), a @ b.T)  # B is stored column by column
    assert load.work == 2 * 32 * 64 * 16
    assert len(a.unique()) > 200  # random, not a few values


def test_a_float8_product_is_of_the_shape() -> None:
    load = products.product_load(CPU, "float8", (32, 64, 16))
    result = load.run()
    assert isinstance(result, torch.Tensor)
    assert (tuple(result.shape), result.dtype) == ((32, 16), torch.bfloat16)
    # A sum of 64 products of two normal numbers: standard deviation 8.
    assert result.float().std().item() == pytest.approx(8, rel=0.25)


def test_no_convolution_in_eight_bits() -> None:
    with pytest.raises(ConfigError, match="no convolution in int8"):
        products.convolution_rate(CPU, "int8")


def test_a_convolution_counts_forward_and_two_gradients(counted: list[dict[str, Any]]) -> None:
    products.convolution_rate(CPU, "float32")
    (each,) = counted
    forward = 2 * 8 * 64 * 56 * 56 * 64 * 3 * 3  # 2·N·K·P·Q·C·R·S
    assert each["work"] == 3 * forward
    assert each["name"] == "convolution float32 8×64×56×56"
    gradients = each["result"]
    assert [tuple(gradient.shape) for gradient in gradients] == [(8, 64, 56, 56), (64, 64, 3, 3)]
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in gradients)


def test_a_convolution_refuses_what_a_product_refuses() -> None:
    with pytest.raises(ConfigError, match="bfloat16"):
        products.convolution_rate(CPU, "bfloat61")


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
    monkeypatch.setattr(products, "_probe", lambda device, dtype, side: probe(side))
    assert products._size(CPU, torch.float32) == side
