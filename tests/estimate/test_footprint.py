"""What libraries and versions of torch add to the tensors of a step."""

from dataclasses import replace

import pytest

from rooflight.catalogue.find import find
from rooflight.core.types import Op
from rooflight.estimate.footprint import CUBLAS_BYTES, blas_bytes, keeps_gradients, most_elements
from rooflight.estimate.setting import Setting
from rooflight.estimate.table import table
from tests.estimate.test_memory import TOY

MIB = 2**20
PRODUCT = Op(
    name="mm", kind="matmul", phase="forward", flops=1, bytes_read=1, bytes_written=1, dtype="float32",
    product=(1, 1, 1, 1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("gpu", "each"),
    [("RTX 4090", CUBLAS_BYTES), ("H100 SXM5 80GB", 32 * MIB), ("MI300X", 128 * MIB), ("MI100", 32 * MIB)],
)
def test_each_thread_has_a_workspace_for_products(gpu: str, each: int) -> None:
    forward = replace(TOY, ops=(PRODUCT,), lifetimes=())
    both = replace(forward, ops=(PRODUCT, replace(PRODUCT, phase="backward")))
    assert blas_bytes(table(forward), find(gpu)) == each
    assert blas_bytes(table(both), find(gpu)) == 2 * each
    assert blas_bytes(table(TOY), find(gpu)) == 0


@pytest.mark.parametrize(("version", "kept"), [((1, 13), True), ((2, 0), False), (None, False)])
def test_gradients_are_kept_before_torch_2(version: tuple[int, int] | None, kept: bool) -> None:
    assert keeps_gradients(Setting(torch_version=version)) is kept


def test_indices_of_convolutions() -> None:
    assert most_elements(Setting()) == 2**31
    assert most_elements(Setting(channels_last=True)) == 2**32
    assert most_elements(Setting(channels_last=True, torch_version=(1, 12))) == 2**31
