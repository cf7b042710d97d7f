"""Costs by hand, the arithmetic visible."""

import pytest

from rooflight.core.errors import ShapeError
from rooflight.trace.costs import (
    adam_cost,
    conv2d_backward_cost,
    conv2d_cost,
    conv2d_shape,
    matmul_cost,
    max_pool2d_backward_cost,
    max_pool2d_cost,
)


def test_first_convolution_of_resnet() -> None:
    op = conv2d_cost((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    assert op.flops == 2 * 64 * 112 * 112 * 3 * 7 * 7
    assert op.bytes_read == (3 * 224 * 224 + 64 * 3 * 7 * 7) * 4
    assert op.bytes_written == 64 * 112 * 112 * 4


def test_groups_share_the_work_and_a_bias_is_read() -> None:
    op = conv2d_cost((2, 8, 5, 5), (8, 1, 3, 3), groups=8, bias=True, dtype="bfloat16")
    assert op.flops == 2 * 2 * 8 * 3 * 3 * 1 * 3 * 3
    assert op.bytes_read == (2 * 8 * 5 * 5 + 8 * 1 * 3 * 3 + 8) * 2


def test_one_and_three_spatial_dimensions() -> None:
    assert conv2d_shape((4, 2, 10), (6, 2, 3), stride=2) == (4, 6, 4)
    assert conv2d_shape((1, 2, 8, 9, 10), (3, 2, 3, 3, 3), padding=(1, 0, 1), dilation=2) == (1, 3, 6, 5, 8)


def test_backward_pays_for_the_gradients_wanted() -> None:
    # (1, 3, 5, 5) by (4, 3, 3, 3) gives (1, 4, 3, 3): 75, 108 and 36 elements; the bias has 4
    shapes = ((1, 3, 5, 5), (4, 3, 3, 3), (1, 4, 3, 3))
    product = 2 * 36 * 3 * 3 * 3
    every = conv2d_backward_cost(*shapes)
    assert every.flops == 2 * product
    assert (every.bytes_read, every.bytes_written) == ((36 + 108 + 75) * 4, (75 + 108 + 4) * 4)
    first_layer = conv2d_backward_cost(*shapes, wanted=(False, True, True))
    assert first_layer.flops == product
    assert (first_layer.bytes_read, first_layer.bytes_written) == ((36 + 75) * 4, (108 + 4) * 4)


def test_matmul() -> None:
    op = matmul_cost(5, 7, 3, batch=2, bias=True)
    assert op.flops == 2 * 2 * 5 * 7 * 3
    assert (op.bytes_read, op.bytes_written) == ((2 * (5 * 7 + 7 * 3) + 3) * 4, 2 * 5 * 3 * 4)


def test_pooling_keeps_its_indices_for_backward() -> None:
    forward = max_pool2d_cost((1, 2, 4, 4), (1, 2, 2, 2), kernel=2)
    assert forward.flops == 8 * 4
    assert (forward.bytes_read, forward.bytes_written) == (32 * 4, 8 * (4 + 8))
    backward = max_pool2d_backward_cost((1, 2, 4, 4), (1, 2, 2, 2))
    assert (backward.flops, backward.bytes_read, backward.bytes_written) == (8, 8 * (4 + 8), 32 * 4)


def test_adam_reads_four_numbers_and_writes_three() -> None:
    op = adam_cost(100)
    assert (op.flops, op.bytes_read, op.bytes_written) == (1300, 100 * 4 * 4, 100 * 3 * 4)
    assert adam_cost(100, weight_decay=True).flops == 1500


@pytest.mark.parametrize(
    ("x", "weight", "groups"),
    [((1, 3, 8, 8), (4, 2, 3, 3), 1), ((1, 4, 8, 8), (3, 2, 3, 3), 2), ((1, 3, 2, 2), (4, 3, 3, 3), 1)],
)
def test_shapes_that_do_not_fit(x: tuple[int, ...], weight: tuple[int, ...], groups: int) -> None:
    with pytest.raises(ShapeError, match=r"does not fit|leaves nothing"):
        conv2d_cost(x, weight, groups=groups)
