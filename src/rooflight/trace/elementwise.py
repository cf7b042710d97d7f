"""Rules of the operators that go from element to element.

FLOPs are per-element constants: one operation per element unless the formula has more; a transcendental function counts
as one. Integers and booleans do no floating-point work.
"""

from collections.abc import Mapping

from rooflight.trace.call import Call, Cost, Rule, written_tensors


def _elementwise(flops_each: int) -> Rule:
    """FLOPs per output element."""

    def rule(call: Call) -> Cost:
        floating = [tensor.numel() for tensor in written_tensors(call) if tensor.is_floating_point()]
        return Cost("elementwise", flops_each * sum(floating))

    return rule


def _resampled(flops_each: int) -> Rule:
    """FLOPs per element on the side of the output: the neighbours' sum there, its gradient spread from there."""

    def rule(call: Call) -> Cost:
        out = call["grad_output"] if "grad_output" in call.arguments else call.result
        return Cost("elementwise", flops_each * out.numel())

    return rule


def _all(flops_each: int, names: str) -> dict[str, Rule]:
    """One rule for every name."""
    return dict.fromkeys(names.split(), _elementwise(flops_each))


ELEMENTWISE: Mapping[str, Rule] = {
    # comparisons, masks and random numbers
    **_all(0, "eq ne lt le gt ge logical_not logical_and logical_or logical_xor isnan isinf sign masked_fill where"),
    **_all(0, "bitwise_not bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift"),
    **_all(1, "bernoulli exponential"),
    # arithmetic
    **_all(
        1, "add sub rsub mul div neg abs maximum minimum clamp clamp_min clamp_max fmod remainder floor_divide square"
    ),
    **_all(1, "floor ceil round trunc nan_to_num complex"),
    **_all(1, "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt pow reciprocal erf erfinv"),
    **_all(1, "sin cos tan asin acos atan atan2 sinh cosh tanh"),
    **_all(2, "polar"),
    **_all(3, "lerp addcmul addcdiv"),
    # activations
    **_all(1, "relu threshold threshold_backward hardtanh hardtanh_backward"),
    **_all(2, "leaky_relu leaky_relu_backward _prelu_kernel"),
    **_all(2, "native_dropout native_dropout_backward"),
    **_all(2, "hardsigmoid_backward"),
    **_all(3, "_prelu_kernel_backward elu elu_backward"),
    **_all(3, "sigmoid sigmoid_backward tanh_backward"),  # 1 / (1 + exp(−x))
    **_all(3, "softplus softplus_backward log_sigmoid_forward log_sigmoid_backward"),  # log(1 + exp(x))
    **_all(4, "hardsigmoid silu glu"),  # min(max(x + 3, 0), 6) / 6; x times a sigmoid
    **_all(4, "hardswish_backward glu_backward"),
    **_all(5, "hardswish gelu mish"),  # 0.5·x·(1 + erf(x / √2))
    **_all(8, "silu_backward"),
    **_all(10, "gelu_backward mish_backward"),
    # losses without a sum
    **_all(2, "mse_loss_backward smooth_l1_loss_backward huber_loss_backward"),
    # resampling: a weight and a sum for each neighbour
    **{f"upsample_nearest{n}d{way}": _resampled(0) for n in (1, 2, 3) for way in ("", "_backward")},
    **{f"_upsample_nearest_exact{n}d{way}": _resampled(0) for n in (1, 2, 3) for way in ("", "_backward")},
    **{f"upsample_linear1d{way}": _resampled(2 * 2) for way in ("", "_backward")},
    **{f"upsample_bilinear2d{way}": _resampled(2 * 4) for way in ("", "_backward")},
    **{f"_upsample_bilinear2d_aa{way}": _resampled(2 * 4) for way in ("", "_backward")},
    **{f"upsample_trilinear3d{way}": _resampled(2 * 8) for way in ("", "_backward")},
    **{f"upsample_bicubic2d{way}": _resampled(2 * 16) for way in ("", "_backward")},
    **{f"_upsample_bicubic2d_aa{way}": _resampled(2 * 16) for way in ("", "_backward")},
    **{f"grid_sampler_{n}d{way}": _resampled(2 * 2**n) for n in (2, 3) for way in ("", "_backward")},
}
