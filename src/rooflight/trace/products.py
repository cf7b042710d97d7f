"""Rules of the operators whose work is matrix products: convolutions, products, attention, recurrent layers.

`product` is (batch, M, N, K) of the forward product. A backward operator repeats it: flops / (2·batch·M·N·K) of them.
"""

from collections.abc import Mapping
from math import prod

from torch import Tensor

from rooflight.trace.call import Call, Cost, Rule
from rooflight.trace.costs import conv_product

Product = tuple[int, int, int, int]


def _convolution(call: Call) -> Cost:
    product = _conv_product(call, call.result)
    return Cost("convolution", 2 * prod(product), product)


def _convolution_backward(call: Call) -> Cost:
    of_input, of_weight, _ = call["output_mask"]
    product = _conv_product(call, call["grad_output"])
    unread = ("weight",) * (not of_input) + ("input",) * (not of_weight)
    return Cost("convolution", 2 * prod(product) * (of_input + of_weight), product, unread=unread)


def _conv_product(call: Call, out: Tensor) -> Product:
    if not call["transposed"]:
        return conv_product(tuple(call["weight"].shape), tuple(out.shape), call["groups"])
    # Its weight is (C, K / groups, R, S), and each element of the input is spread over K / groups·R·S of the output.
    groups, m, c, k = conv_product(tuple(call["weight"].shape), tuple(call["input"].shape), call["groups"])
    return groups, m, k, c


def _product(left: str, right: str) -> Rule:
    def rule(call: Call) -> Cost:
        *batch, m, k = call[left].shape
        product = (prod(batch), m, call[right].shape[-1], k)
        return Cost("matmul", 2 * prod(product), product)

    return rule


def _with_vector(matrix: str) -> Rule:
    def rule(call: Call) -> Cost:
        m, k = call[matrix].shape
        return Cost("matmul", 2 * m * k, (1, m, 1, k))

    return rule


def _linear(call: Call) -> Cost:
    n, k = call["weight"].shape
    product = (1, call["input"].numel() // k, n, k)
    return Cost("matmul", 2 * prod(product), product)


def _grouped(call: Call) -> Cost:
    """Experts' products. (T, K) by (E, K, N): each expert takes T / E rows if they are shared out evenly. (M, T) by
    (T, N): the gradient of the experts' weights, each of which sums over its rows."""
    left, right = call["self"], call["mat2"]
    if right.dim() == 3:
        product = (right.shape[0], -(-left.shape[0] // right.shape[0]), right.shape[2], right.shape[1])
    else:
        experts = call.result.shape[0]
        product = (experts, left.shape[0], right.shape[1], -(-right.shape[0] // experts))
    return Cost("matmul", 2 * left.numel() * right.shape[-1], product)


def _attention(products: int) -> Rule:
    """Fused attention: so many matrix products of the size of Q·Kᵀ or P·V; a causal mask saves nothing."""

    def rule(call: Call) -> Cost:
        *batch, t, d = call["query"].shape
        s, d_value = call["key"].shape[-2], call["value"].shape[-1]
        scores = 2 * prod(batch) * t * s * (d + d_value)
        return Cost("attention", scores * products // 2, (prod(batch), t, s, d))

    return rule


def _onednn_layer(products: int) -> Rule:
    """One direction of one recurrent layer: every step of every sequence goes through both weight matrices."""

    def rule(call: Call) -> Cost:
        weights = [call[name] for name in ("weight0", "weight1", "weight2") if name in call.arguments]
        matrices = [weight for weight in weights if weight.dim() == 2]
        time, n, _ = call["input"].shape  # oneDNN's layer takes the time first
        flops = 2 * time * n * sum(weight.numel() for weight in matrices)
        return Cost("recurrent", flops * products, (time, n, *matrices[-1].shape))

    return rule


def _cudnn_layers(products: int) -> Rule:
    """All recurrent layers, in both directions if there are two."""

    def rule(call: Call) -> Cost:
        matrices = [weight for weight in call["weight"] if weight.dim() == 2]
        first, second, _ = call["input"].shape
        n, time = (first, second) if call["batch_first"] else (second, first)
        flops = 2 * time * n * sum(weight.numel() for weight in matrices)
        steps = time * call["num_layers"] * (1 + call["bidirectional"])
        return Cost("recurrent", flops * products, (steps, n, *matrices[1].shape))

    return rule


PRODUCTS: Mapping[str, Rule] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    "addbmm": _product("batch1", "batch2"),
    "mv": _with_vector("self"),
    "addmv": _with_vector("mat"),
    "linear": _linear,
    "_grouped_mm": _grouped,
    "_scaled_dot_product_flash_attention_for_cpu": _attention(2),
    # the scores once more, then the gradients of V, of the scores, of Q and of K: five products of the same size
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention(5),
    "_scaled_dot_product_flash_attention": _attention(2),
    "_scaled_dot_product_flash_attention_backward": _attention(5),
    "_scaled_dot_product_efficient_attention": _attention(2),
    "_scaled_dot_product_efficient_attention_backward": _attention(5),
    "mkldnn_rnn_layer": _onednn_layer(1),
    "mkldnn_rnn_layer_backward": _onednn_layer(2),  # of the input and of the weights
    "_cudnn_rnn": _cudnn_layers(1),
    "_cudnn_rnn_backward": _cudnn_layers(2),
}
