"""Rules of the operators that pass over elements: one by one, in sums, in normalizations, in pooling windows.

FLOPs are per-element constants: one operation per element unless the formula has more; a transcendental function counts
as one. Integers and booleans do no floating-point work.
"""

from collections.abc import Mapping
from math import prod

from rooflight.trace.call import Call, Cost, Rule, read_tensors, tensors, written_tensors


def _elementwise(flops_each: int) -> Rule:
    """FLOPs per output element."""

    def rule(call: Call) -> Cost:
        floating = [tensor.numel() for tensor in written_tensors(call) if tensor.is_floating_point()]
        return Cost("elementwise", flops_each * sum(floating))

    return rule


def _reduction(flops_each: int, kind: str = "reduction", *unread: str) -> Rule:
    """FLOPs per element of the first input, which every element passes through."""

    def rule(call: Call) -> Cost:
        first = read_tensors(call)[0][1]
        return Cost(kind, flops_each * first.numel() if first.is_floating_point() else 0, unread=unread)

    return rule


def _normalization(flops_each: int) -> Rule:
    return _reduction(flops_each, "normalization")


def _nll_backward(call: Call) -> Cost:
    # The log-probabilities are an argument for their shape only.
    return Cost("reduction", call["target"].numel(), unread=("self",))


def _pool(call: Call) -> Cost:
    kernel = call["kernel_size"]
    window = prod(kernel) if len(kernel) == 2 else kernel[0] ** 2
    return Cost("pool", tensors(call.result)[0].numel() * window)


def _whole_pool(call: Call) -> Cost:
    return Cost("pool", call["self"].numel())


def _pool_backward(call: Call) -> Cost:
    # The input is an argument for its shape only: max pooling kept the indices.
    return Cost("pool", call["grad_output"].numel(), unread=("self",))


ELEMENTWISE: Mapping[str, Rule] = {
    **dict.fromkeys(
        ("relu", "threshold_backward", "hardtanh", "hardtanh_backward", "clamp", "clamp_min"), _elementwise(1)
    ),
    **dict.fromkeys(("add", "sub", "rsub", "mul", "div", "neg", "abs", "maximum", "minimum", "where"), _elementwise(1)),
    **dict.fromkeys(("exp", "log", "sqrt", "rsqrt", "pow", "reciprocal", "sin", "cos", "tanh"), _elementwise(1)),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge", "logical_not", "logical_and", "bitwise_not"), _elementwise(0)),
    "leaky_relu": _elementwise(2),
    "leaky_relu_backward": _elementwise(2),
    "lerp": _elementwise(3),
    "addcmul": _elementwise(3),
    "addcdiv": _elementwise(3),
    "sigmoid": _elementwise(3),  # 1 / (1 + exp(−x))
    "sigmoid_backward": _elementwise(3),
    "tanh_backward": _elementwise(3),
    "silu": _elementwise(4),
    "silu_backward": _elementwise(8),
    "gelu": _elementwise(5),  # 0.5·x·(1 + erf(x / √2))
    "gelu_backward": _elementwise(10),
    "hardsigmoid": _elementwise(4),  # min(max(x + 3, 0), 6) / 6
    "hardsigmoid_backward": _elementwise(2),
    "hardswish": _elementwise(5),
    "hardswish_backward": _elementwise(4),
    "native_dropout": _elementwise(2),
    "native_dropout_backward": _elementwise(2),
    "bernoulli": _elementwise(1),
}

REDUCTIONS: Mapping[str, Rule] = {
    **dict.fromkeys(("sum", "mean", "amax", "amin", "max", "min", "argmax", "cumsum"), _reduction(1)),
    **dict.fromkeys(("var", "std", "var_mean", "linalg_vector_norm", "norm"), _reduction(3)),
    "_softmax": _reduction(5),  # maximum, difference, exp, sum, quotient
    "_safe_softmax": _reduction(5),
    "_log_softmax": _reduction(5),
    "_softmax_backward_data": _reduction(4),
    "_log_softmax_backward_data": _reduction(4),
    "nll_loss_forward": _reduction(0),  # picks one log-probability per target
    "nll_loss_backward": _nll_backward,
    "nll_loss2d_forward": _reduction(0),
    "nll_loss2d_backward": _nll_backward,
}

NORMALIZATIONS: Mapping[str, Rule] = {
    "native_batch_norm": _normalization(8),  # mean 1, variance 3, normalise 2, scale and shift 2
    "_native_batch_norm_legit": _normalization(8),
    "_native_batch_norm_legit_no_training": _normalization(4),
    "native_batch_norm_backward": _normalization(11),  # two sums 5, then x̂ 2 and the gradient 4
    "native_layer_norm": _normalization(8),
    "native_layer_norm_backward": _normalization(11),
}

POOLS: Mapping[str, Rule] = {
    "max_pool2d_with_indices": _pool,
    "max_pool2d_with_indices_backward": _pool_backward,
    "avg_pool2d": _pool,
    "avg_pool2d_backward": _pool_backward,
    "_adaptive_avg_pool2d": _whole_pool,
    "_adaptive_avg_pool2d_backward": _pool_backward,
}
