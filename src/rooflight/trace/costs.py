"""What the operators that do the arithmetic cost, from shapes alone. rules.py finds the right one for an aten call.

A multiply-add is 2 FLOPs. Bytes are those that a perfect cache would move: every input read once, every output written
once. The addition of a bias is not counted, as in torch.utils.flop_counter: it rides along with the product.
"""

from collections.abc import Sequence
from math import prod

from rooflight.core.errors import ShapeError
from rooflight.core.types import Op

Shape = tuple[int, ...]
Sizes = int | Sequence[int]

ITEM_BYTES = {
    "float64": 8,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


def conv2d_cost(
    x: Shape,
    weight: Shape,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = False,
    dtype: str = "float32",
) -> Op:
    """Forward cost of one convolution; one and three spatial dimensions work alike.

    x        (N, C, H, W)
    weight   (K, C / groups, R, S)
    returns  flops = 2·N·K·P·Q·(C / groups)·R·S with (P, Q) the output size
             bytes = input + weight + bias + output, each moved once
    raises   ShapeError if the channels do not fit together or the output would be empty
    source   Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009, for counting bytes
    """
    out = conv2d_shape(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    item = ITEM_BYTES[dtype]
    read = prod(x) + prod(weight) + (weight[0] if bias else 0)
    product = conv_product(weight, out, groups)
    return _op("convolution", 2 * prod(product), read * item, prod(out) * item, dtype)


def conv2d_backward_cost(
    x: Shape,
    weight: Shape,
    out: Shape,
    *,
    wanted: tuple[bool, bool, bool] = (True, True, True),
    dtype: str = "float32",
) -> Op:
    """Cost of the gradients of one convolution: of its input, its weight and its bias, as wanted.

    out      (N, K, P, Q), the shape of the output and of its gradient
    returns  flops = the forward FLOPs for the input's gradient, and as many again for the weight's
             bytes: the output's gradient is always read, the weight only for the input's gradient, the input only for
             the weight's; what is wanted is written
    """
    of_input, of_weight, of_bias = wanted
    item = ITEM_BYTES[dtype]
    read = prod(out) + of_input * prod(weight) + of_weight * prod(x)
    written = of_input * prod(x) + of_weight * prod(weight) + of_bias * out[1]
    flops = 2 * prod(conv_product(weight, out)) * (of_input + of_weight)
    return _op("convolution", flops, read * item, written * item, dtype)


def conv_product(weight: Shape, out: Shape, groups: int = 1) -> tuple[int, int, int, int]:
    """(batch, M, N, K) of the matrix products that a convolution is: (groups, N·P·Q, K / groups, C / groups·R·S)."""
    n, filters, *places = out
    return groups, n * prod(places), filters // groups, prod(weight[1:])


def conv2d_shape(
    x: Shape, weight: Shape, *, stride: Sizes = 1, padding: Sizes = 0, dilation: Sizes = 1, groups: int = 1
) -> Shape:
    """Shape of a convolution's output, (N, K, P, Q)."""
    dims = len(weight) - 2
    if len(x) != len(weight) or x[1] != weight[1] * groups or weight[0] % groups:
        raise ShapeError(
            f"a convolution of input {x} by weight {weight} in {groups} groups does not fit: the input needs "
            f"{weight[1] * groups} channels and the filters must divide into the groups."
        )
    steps = (_each(stride, dims), _each(padding, dims), _each(dilation, dims))
    sizes = [
        (size + 2 * pad - gap * (taps - 1) - 1) // step + 1
        for size, taps, step, pad, gap in zip(x[2:], weight[2:], *steps, strict=True)
    ]
    if min(sizes) < 1:
        raise ShapeError(
            f"a convolution of input {x} by weight {weight} leaves nothing. Try a larger input or padding."
        )
    return (x[0], weight[0], *sizes)


def matmul_cost(m: int, k: int, n: int, *, batch: int = 1, bias: bool = False, dtype: str = "float32") -> Op:
    """Cost of (m, k) @ (k, n), `batch` times: 2·m·k·n FLOPs each. The bias has n elements."""
    item = ITEM_BYTES[dtype]
    read = batch * (m * k + k * n) + (n if bias else 0)
    return _op("matmul", 2 * batch * m * k * n, read * item, batch * m * n * item, dtype)


def max_pool2d_cost(x: Shape, out: Shape, *, kernel: Sizes, dtype: str = "float32") -> Op:
    """Forward cost of max pooling: one comparison per window element; the int64 indices are written too."""
    item = ITEM_BYTES[dtype]
    flops = prod(out) * prod(_each(kernel, 2))
    return _op("pool", flops, prod(x) * item, prod(out) * (item + ITEM_BYTES["int64"]), dtype)


def max_pool2d_backward_cost(x: Shape, out: Shape, *, dtype: str = "float32") -> Op:
    """Cost of max pooling's gradient: one addition per output element, at its index; the input itself is not read."""
    item = ITEM_BYTES[dtype]
    return _op("pool", prod(out), prod(out) * (item + ITEM_BYTES["int64"]), prod(x) * item, dtype)


def adam_cost(parameters: int, *, weight_decay: bool = False, dtype: str = "float32") -> Op:
    """Cost of one fused Adam step: parameter, gradient and two moments read; parameter and two moments written.

    flops  m ← m + (1 − β1)(g − m) is 3, v ← β2·v + (1 − β2)·g² is 4, √v / c + ε is 3, p ← p − s·m / (…) is 3;
           2 more for weight decay
    """
    item = ITEM_BYTES[dtype]
    return _op("optimizer", parameters * adam_flops(weight_decay), 4 * parameters * item, 3 * parameters * item, dtype)


def adam_flops(weight_decay: bool) -> int:
    """FLOPs of one Adam step per parameter; adam_cost counts them out."""
    return 15 if weight_decay else 13


def _each(sizes: Sizes, dims: int) -> tuple[int, ...]:
    """One size per spatial dimension; torch repeats a single one."""
    given = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return given * dims if len(given) == 1 else given


def _op(kind: str, flops: int, read: int, written: int, dtype: str) -> Op:
    return Op(name=kind, kind=kind, phase="forward", flops=flops, bytes_read=read, bytes_written=written, dtype=dtype)
