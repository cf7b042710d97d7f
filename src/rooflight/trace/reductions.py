"""Rules of the operators in which many elements meet: sums, losses, normalizations, pooling windows, transforms.

FLOPs are constants for each element that goes in, counted as in elementwise.py.
"""

from collections.abc import Mapping
from math import log2, prod

from rooflight.trace.call import Call, Cost, Rule, read_tensors, tensors


def _reduction(flops_each: int, kind: str = "reduction") -> Rule:
    """FLOPs per element of the first input, which every element passes through."""

    def rule(call: Call) -> Cost:
        first = read_tensors(call)[0][1]
        return Cost(kind, flops_each * first.numel() if first.is_floating_point() else 0)

    return rule


def _all(flops_each: int, names: str, kind: str = "reduction") -> dict[str, Rule]:
    """One rule for every name."""
    return dict.fromkeys(names.split(), _reduction(flops_each, kind))


def _nll_backward(call: Call) -> Cost:
    # The log-probabilities are an argument for their shape only.
    return Cost("reduction", call["target"].numel(), unread=("self",))


def _fourier(call: Call) -> Cost:
    """5·n·log₂ n for each transform of n complex numbers, half of that for real ones."""
    whole = max((call["self"], call.result), key=lambda tensor: tensor.numel())
    size = prod(whole.shape[dim] for dim in call["dim"])
    return Cost("reduction", int(5 * whole.numel() * log2(max(size, 1)) / (1 if whole.is_complex() else 2)))


def _pairs(call: Call) -> Cost:
    """A difference, a square and a sum for each dimension of each pair of points."""
    return Cost("reduction", 3 * call.result.numel() * call["x1"].shape[-1])


def _pool(dims: int) -> Rule:
    """One operation for each element of each window."""

    def rule(call: Call) -> Cost:
        kernel = call["kernel_size"]
        window = prod(kernel) if len(kernel) == dims else kernel[0] ** dims
        return Cost("pool", tensors(call.result)[0].numel() * window)

    return rule


def _whole_pool(call: Call) -> Cost:
    return Cost("pool", call["self"].numel())


def _pool_backward(call: Call) -> Cost:
    # The input is an argument for its shape only: max pooling kept the indices.
    return Cost("pool", call["grad_output"].numel(), unread=("self",))


REDUCTIONS: Mapping[str, Rule] = {
    **_all(0, "any all topk sort argsort argmax argmin bucketize searchsorted histc bincount"),
    **_all(0, "nll_loss_forward nll_loss2d_forward"),
    **_all(1, "sum mean amax amin max min aminmax prod cumsum cumprod cummax cummin nansum"),
    **_all(3, "var std var_mean std_mean linalg_vector_norm norm logsumexp _logcumsumexp _weight_norm_interface"),
    **_all(4, "_weight_norm_interface_backward _softmax_backward_data _log_softmax_backward_data"),
    **_all(5, "_softmax _safe_softmax _log_softmax"),  # maximum, difference, exp, sum, quotient
    **_all(3, "mse_loss smooth_l1_loss huber_loss"),
    **_all(6, "binary_cross_entropy binary_cross_entropy_with_logits binary_cross_entropy_backward"),
    "nll_loss_backward": _nll_backward,
    "nll_loss2d_backward": _nll_backward,
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), _fourier),
    "_cdist_forward": _pairs,
    "_euclidean_dist": _pairs,
}


def _batch_norm(call: Call) -> Cost:
    """Mean 1, variance 3, normalise 2, scale and shift 2; outside training the first two are known."""
    return Cost("normalization", (8 if call["training"] else 4) * call["input"].numel())


NORMALIZATIONS: Mapping[str, Rule] = {
    "native_batch_norm": _batch_norm,
    **_all(8, "_native_batch_norm_legit cudnn_batch_norm _batch_norm_with_update", "normalization"),
    **_all(8, "native_layer_norm native_group_norm", "normalization"),
    **_all(4, "_native_batch_norm_legit_no_training _batch_norm_no_update", "normalization"),
    **_all(4, "_fused_rms_norm fused_rms_norm", "normalization"),  # square and sum 2, normalise 1, scale 1
    # two sums 5, then x̂ 2 and the gradient 4
    **_all(11, "native_batch_norm_backward cudnn_batch_norm_backward batch_norm_backward", "normalization"),
    **_all(11, "native_layer_norm_backward native_group_norm_backward", "normalization"),
    **_all(
        8, "_fused_rms_norm_backward fused_rms_norm_backward", "normalization"
    ),  # one sum 3, then x̂ 1 and the gradient 4
}

POOLS: Mapping[str, Rule] = {
    **{f"{kind}_pool{n}d": _pool(n) for kind in ("max", "avg") for n in (2, 3)},
    **{f"max_pool{n}d_with_indices": _pool(n) for n in (2, 3)},
    **{f"max_pool{n}d_with_indices_backward": _pool_backward for n in (2, 3)},
    **{f"avg_pool{n}d_backward": _pool_backward for n in (2, 3)},
    **{f"_adaptive_avg_pool{n}d": _whole_pool for n in (2, 3)},
    **{f"_adaptive_avg_pool{n}d_backward": _pool_backward for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": _whole_pool for n in (2, 3)},
    **{f"adaptive_max_pool{n}d_backward": _pool_backward for n in (2, 3)},
}
