"""Rules for aten calls: bytes by hand on tensors without memory, FLOPs against torch's own counter."""

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from rooflight.core.types import Op
from rooflight.trace.call import call_of, tensor_bytes
from rooflight.trace.costs import adam_cost, conv2d_backward_cost, conv2d_cost, max_pool2d_cost
from rooflight.trace.rules import RULES, op_cost

aten = torch.ops.aten


def of(func: Any, *args: Any, **kwargs: Any) -> Op:
    return op_cost(call_of(func, args, kwargs, func(*args, **kwargs)))


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


class Costs(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Op] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.ops.append(op_cost(call_of(func, args, kwargs or {}, result)))
        return result


def forward_and_backward(model: nn.Module, *inputs: Tensor) -> None:
    model(*inputs).sum().backward()


CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(3, 8, 3, stride=2, padding=1), (2, 3, 9, 11)),
    "groups": (lambda: nn.Conv2d(6, 12, (3, 1), groups=3, dilation=2), (2, 6, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2), (2, 6, 5, 5)),
    "one dimension": (lambda: nn.Conv1d(3, 4, 5, bias=False), (2, 3, 16)),
    "three dimensions": (lambda: nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7)),
    "linear": (lambda: nn.Linear(7, 5), (3, 4, 7)),
    "linear of a matrix": (lambda: nn.Linear(7, 5, bias=False), (3, 7)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_flops_are_those_of_torch(name: str) -> None:
    build, shape = CONVOLUTIONS[name]
    model, x = build(), torch.randn(shape, requires_grad=True)
    with FlopCounterMode(display=False) as reference:
        forward_and_backward(model, x)
    with Costs() as costs:
        forward_and_backward(model, x)
    products = [op for op in costs.ops if op.kind in ("convolution", "matmul")]
    assert len(products) >= 2
    counted = sum(op.flops for op in products)
    # torch counts the gradient of a grouped weight as if every channel met every other
    surplus = (getattr(model, "groups", 1) - 1) * products[0].flops
    assert counted == 3 * products[0].flops
    assert counted + surplus == reference.get_total_flops()


def test_attention_is_two_products_forward_and_five_backward() -> None:
    q, k, v = (torch.randn(2, 3, 8, 16, requires_grad=True) for _ in range(3))
    with Costs() as costs:
        nn.functional.scaled_dot_product_attention(q, k, v).sum().backward()
    product = 2 * 2 * 3 * 8 * 8 * 16
    fused = [op for op in costs.ops if op.kind == "attention"]
    assert [op.flops for op in fused] == [2 * product, 5 * product]
    assert {op.product for op in fused} == {(2 * 3, 8, 8, 16)}


def test_products_by_hand() -> None:
    image, weight, out = meta(2, 6, 9, 9), meta(12, 2, 3, 3), meta(2, 12, 7, 7)
    settings = ([1, 1], [0, 0], [1, 1])
    grouped = of(aten.convolution.default, image, weight, None, *settings, False, [0, 0], 3)
    assert grouped.product == (3, 2 * 7 * 7, 12 // 3, 2 * 3 * 3)
    backward = of(
        aten.convolution_backward.default, out, image, weight, None, *settings, False, [0, 0], 3, [True, True, False]
    )
    assert backward.product == grouped.product
    assert backward.flops == 2 * grouped.flops == 2 * 2 * prod(grouped.product)
    # transposed: 5·5 places of 6 channels, in 2 groups, spread over 4 / 2 filters of 3·3
    spread = of(aten.convolution.default, meta(2, 6, 5, 5), meta(6, 2, 3, 3), None, *settings, True, [0, 0], 2)
    assert spread.product == (2, 2 * 5 * 5, 2 * 3 * 3, 6 // 2)
    assert of(aten.bmm.default, meta(3, 4, 5), meta(3, 5, 6)).product == (3, 4, 6, 5)
    assert of(aten.addmm.default, meta(6), meta(4, 5), meta(5, 6)).product == (1, 4, 6, 5)
    assert of(aten.relu.default, meta(4)).product is None


def test_rules_agree_with_the_costs_by_shape() -> None:
    x, weight, out = meta(2, 3, 8, 8), meta(4, 3, 3, 3), meta(2, 4, 6, 6)
    forward = of(aten.convolution.default, x, weight, meta(4), [1, 1], [0, 0], [1, 1], False, [0, 0], 1)
    assert same(forward, conv2d_cost((2, 3, 8, 8), (4, 3, 3, 3), bias=True))
    for wanted in ((True, True, True), (False, True, True), (True, False, False), (False, False, True)):
        arguments = (out, x, weight, [4], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, list(wanted))
        backward = of(aten.convolution_backward.default, *arguments)
        assert same(backward, conv2d_backward_cost((2, 3, 8, 8), (4, 3, 3, 3), (2, 4, 6, 6), wanted=wanted))
    pooled = of(aten.max_pool2d_with_indices.default, meta(1, 2, 4, 4), [2, 2], [2, 2])
    assert same(pooled, max_pool2d_cost((1, 2, 4, 4), (1, 2, 2, 2), kernel=2))


def same(left: Op, right: Op) -> bool:
    return (left.kind, left.flops, left.bytes_read, left.bytes_written, left.dtype) == (
        right.kind,
        right.flops,
        right.bytes_read,
        right.bytes_written,
        right.dtype,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_fused_adam_leaves_the_gradients_unwritten(weight_decay: float) -> None:
    shapes = ((3, 4), (5,))
    lists = [[torch.zeros(shape) for shape in shapes] for _ in range(4)]
    steps = [torch.ones(()) for _ in shapes]
    settings = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "weight_decay": weight_decay, "eps": 1e-8}
    op = of(aten._fused_adam_.default, *lists, [], steps, **settings, amsgrad=False, maximize=False)
    by_shape = adam_cost(12 + 5, weight_decay=weight_decay > 0)
    assert (op.kind, op.flops, op.bytes_written) == ("optimizer", by_shape.flops, by_shape.bytes_written)
    assert op.bytes_read == by_shape.bytes_read + 2 * 4  # the two step counters


@pytest.mark.parametrize(
    ("op", "flops", "read", "written"),
    [
        (lambda: of(aten.relu.default, meta(6)), 6, 24, 24),
        (lambda: of(aten.relu_.default, meta(6)), 6, 24, 24),
        (lambda: of(aten.add.Tensor, meta(2, 3), meta(3)), 6, 36, 24),
        (lambda: of(aten._foreach_add_.Scalar, [meta(2), meta(3)], 1), 5, 20, 20),
        (lambda: of(aten.gt.Scalar, meta(6), 0), 0, 24, 6),
        (lambda: of(aten.add.Tensor, meta(6, dtype=torch.int64), 1), 0, 48, 48),
        (lambda: of(aten.sum.default, meta(5, 4)), 20, 80, 4),
        (lambda: of(aten.sum.default, meta(1, 4).expand(5, 4)), 20, 16, 4),  # an expanded row is there once
        (lambda: of(aten._log_softmax.default, meta(2, 10), 1, False), 100, 80, 80),
        (lambda: of(aten.fill_.Scalar, meta(6), 0), 0, 0, 24),
        (lambda: of(aten.copy_.default, meta(6), meta(6, dtype=torch.bfloat16)), 0, 12, 24),
        (lambda: of(aten.embedding.default, meta(1000, 4), meta(3, dtype=torch.int64)), 0, 3 * 8 + 48, 48),
    ],
)
def test_bytes_by_hand(op: Callable[[], Op], flops: int, read: int, written: int) -> None:
    cost = op()
    assert (cost.flops, cost.bytes_read, cost.bytes_written, cost.costed) == (flops, read, written, True)


def test_a_square_of_one_matrix_reads_it_once() -> None:
    x = meta(4, 4)
    assert of(aten.mm.default, x, x.t()).bytes_read == 4 * 4 * 4


def test_an_operator_without_a_rule_keeps_its_bytes() -> None:
    op = of(aten.lgamma.default, meta(8))
    assert "lgamma" not in RULES
    assert (op.costed, op.kind, op.flops, op.bytes_read, op.bytes_written) == (False, "other", 0, 32, 32)


def test_every_rule_is_for_an_operator_that_torch_has() -> None:
    known = {name.partition("::")[2].partition(".")[0] for name in torch._C._dispatch_get_all_op_names()}
    bases = {name.removeprefix("_foreach_").removesuffix("_") for name in known}
    own = {"adam8bit", "fused_rms_norm", "fused_rms_norm_backward"}  # trace/fused.py
    assert set(RULES) <= bases | own


def test_bytes_of_nothing() -> None:
    assert tensor_bytes(torch.empty(0, 3)) == 0
    assert tensor_bytes(torch.empty(1, 0).expand(4, 0)) == 0
