"""Which cost rule an aten operator has. One table, written out by hand; an operator that is not in it is not costed.

A rule looks at one call and says its kind, its FLOPs and the bytes it moves. Unless the rule knows better, every input
tensor is read once and every output written once; a tensor changed in place is both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from rooflight.core.types import Op
from rooflight.trace import costs


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator: its arguments by the names of its schema, and what it returned."""

    func: torch._ops.OpOverload
    arguments: Mapping[str, Any]
    result: Any

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


Rule = Callable[[Call], Op]


def op_cost(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Op:
    """The Op of one aten call, phase "forward". Without a rule it has its bytes and costed=False."""
    call = Call(func, named_arguments(func, args, kwargs), result)
    rule = RULES.get(base_name(func))
    op = rule(call) if rule else replace(_moved(call, "other", 0), costed=False)
    return replace(op, name=str(func))


def base_name(func: torch._ops.OpOverload) -> str:
    """`aten::relu_` and `aten::_foreach_relu_.default` are both "relu": in place and in lists, it is the same work."""
    name = func._schema.name.partition("::")[2]
    return name.removeprefix("_foreach_").removesuffix("_")


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in nested lists and tuples, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, list | tuple) else []


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes behind a tensor's elements; a dimension that was expanded (stride 0) is there once."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return prod(size for size, stride in sizes if stride or size == 0) * tensor.element_size()


def named_arguments(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    schema = func._schema.arguments
    values = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    values.update({argument.name: value for argument, value in zip(schema, args, strict=False)})
    return values | dict(kwargs)


# ---------------------------------------------------------------- bytes


def _read(call: Call, *unread: str) -> int:
    """Bytes of the distinct input tensors, without the arguments named."""
    found = [tensor for name, value in call.arguments.items() if name not in unread for tensor in tensors(value)]
    return sum(map(tensor_bytes, _distinct(found)))


def written_tensors(func: torch._ops.OpOverload, arguments: Mapping[str, Any], result: Any) -> list[Tensor]:
    """The tensors that a call makes or changes."""
    changed = [
        tensor
        for argument in func._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tensors(arguments.get(argument.name))
    ]
    return _distinct(changed + tensors(result))


def _distinct(found: list[Tensor]) -> list[Tensor]:
    """Without repeats: an in-place operator returns what it changed, and x @ x.T reads x once."""
    return list({(t.untyped_storage()._cdata, t.storage_offset(), t.numel()): t for t in found}.values())


def _written(call: Call) -> int:
    return sum(map(tensor_bytes, written_tensors(call.func, call.arguments, call.result)))


def _moved(call: Call, kind: str, flops: int, *, unread: tuple[str, ...] = ()) -> Op:
    """An Op that reads all inputs but the unread and writes all outputs."""
    return Op(
        name=kind,
        kind=kind,
        phase="forward",
        flops=flops,
        bytes_read=_read(call, *unread),
        bytes_written=_written(call),
        dtype=_dtype(call),
    )


def _dtype(call: Call) -> str:
    """The dtype that the work is done in: of the first floating-point input, else of the first output, else of any."""
    inputs = tensors(list(call.arguments.values()))
    outputs = tensors(call.result)
    floating = [tensor for tensor in inputs + outputs if tensor.is_floating_point()]
    chosen = (floating or outputs or inputs)[:1]
    return str(chosen[0].dtype).removeprefix("torch.") if chosen else "float32"


# ---------------------------------------------------------------- rules


def _convolution(call: Call) -> Op:
    out = call["input"] if call["transposed"] else call.result
    return _moved(call, "convolution", costs.conv_flops(tuple(call["weight"].shape), tuple(out.shape)))


def _convolution_backward(call: Call) -> Op:
    of_input, of_weight, _ = call["output_mask"]
    out = call["input"] if call["transposed"] else call["grad_output"]
    flops = costs.conv_flops(tuple(call["weight"].shape), tuple(out.shape)) * (of_input + of_weight)
    unread = ("weight",) * (not of_input) + ("input",) * (not of_weight)
    return _moved(call, "convolution", flops, unread=unread)


def _product(left: str, right: str) -> Rule:
    def rule(call: Call) -> Op:
        *batch, m, k = call[left].shape
        flops = costs.matmul_flops(m, k, call[right].shape[-1], prod(batch))
        return _moved(call, "matmul", flops)

    return rule


def _linear(call: Call) -> Op:
    n, k = call["weight"].shape
    return _moved(call, "matmul", costs.matmul_flops(call["input"].numel() // k, k, n))


def _attention(products: int, query: str = "query", key: str = "key", value: str = "value") -> Rule:
    """Fused attention: so many matrix products of the size of Q·Kᵀ or P·V; a causal mask saves nothing."""

    def rule(call: Call) -> Op:
        *batch, t, d = call[query].shape
        s, d_value = call[key].shape[-2], call[value].shape[-1]
        scores = costs.matmul_flops(t, d, s, prod(batch)) + costs.matmul_flops(t, s, d_value, prod(batch))
        return _moved(call, "matmul", scores * products // 2)

    return rule


def _recurrent(products: int) -> Rule:
    """One direction of one recurrent layer: every step of every sequence goes through both weight matrices."""

    def rule(call: Call) -> Op:
        weights = [value for name, value in call.arguments.items() if name in ("weight0", "weight1", "weight2")]
        steps = call["input"].numel() // call["input"].shape[-1]  # N·T
        flops = 2 * steps * sum(weight.numel() for weight in weights if weight.dim() == 2)
        return _moved(call, "matmul", flops * products)

    return rule


def _pool(call: Call) -> Op:
    kernel = call["kernel_size"]
    window = prod(kernel) if len(kernel) == 2 else kernel[0] ** 2
    return _moved(call, "pool", tensors(call.result)[0].numel() * window)


def _whole_pool(call: Call) -> Op:
    return _moved(call, "pool", call["self"].numel())


def _pool_backward(call: Call) -> Op:
    # The input is an argument for its shape only: max pooling kept the indices.
    return _moved(call, "pool", call["grad_output"].numel(), unread=("self",))


def _elementwise(flops_each: int) -> Rule:
    """FLOPs per output element; integers and booleans do no floating-point work."""

    def rule(call: Call) -> Op:
        outputs = written_tensors(call.func, call.arguments, call.result)
        floating = [tensor.numel() for tensor in outputs if tensor.is_floating_point()]
        return _moved(call, "elementwise", flops_each * sum(floating))

    return rule


def _reduction(flops_each: int) -> Rule:
    """FLOPs per element of the first input, which every element passes through."""

    def rule(call: Call) -> Op:
        first = tensors(list(call.arguments.values()))[0]
        return _moved(call, "reduction", flops_each * first.numel() if first.is_floating_point() else 0)

    return rule


def _nll_backward(call: Call) -> Op:
    # The log-probabilities are an argument for their shape only.
    return _moved(call, "reduction", call["target"].numel(), unread=("self",))


def _copy(*unread: str) -> Rule:
    def rule(call: Call) -> Op:
        return _moved(call, "copy", 0, unread=unread)

    return rule


def _gather(table: str) -> Rule:
    """Only the rows asked for are read from the table, as many as are written."""

    def rule(call: Call) -> Op:
        op = _moved(call, "copy", 0, unread=(table,))
        return replace(op, bytes_read=op.bytes_read + op.bytes_written)

    return rule


def _optimizer(flops_each: Callable[[Call], int]) -> Rule:
    def rule(call: Call) -> Op:
        op = _moved(call, "optimizer", flops_each(call) * sum(tensor.numel() for tensor in call["self"]))
        # The schema lets the gradients be unscaled in place; without a scale they are only read.
        kept = 0 if call["grad_scale"] is not None else sum(map(tensor_bytes, call["grads"]))
        return replace(op, bytes_written=op.bytes_written - kept)

    return rule


def _adam(call: Call) -> int:
    return costs.adam_flops(bool(call["weight_decay"]))


def _sgd(call: Call) -> int:
    """p ← p − lr·g is 2; a momentum buffer and weight decay add 2 each."""
    return 2 + 2 * bool(call["momentum"]) + 2 * bool(call["weight_decay"])


RULES: Mapping[str, Rule] = {
    # products
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
    "linear": _linear,
    "_scaled_dot_product_flash_attention_for_cpu": _attention(2),
    # the scores once more, then the gradients of V, of the scores, of Q and of K: five products of the same size
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention(5),
    "mkldnn_rnn_layer": _recurrent(1),
    "mkldnn_rnn_layer_backward": _recurrent(2),  # of the input and of the weights
    # pooling
    "max_pool2d_with_indices": _pool,
    "max_pool2d_with_indices_backward": _pool_backward,
    "avg_pool2d": _pool,
    "avg_pool2d_backward": _pool_backward,
    "_adaptive_avg_pool2d": _whole_pool,
    "_adaptive_avg_pool2d_backward": _pool_backward,
    # elementwise: one operation per element unless the formula has more; a transcendental function counts as one
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
    "bernoulli": _elementwise(1),
    # reductions
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
    "native_batch_norm": _reduction(8),  # mean 1, variance 3, normalise 2, scale and shift 2
    "_native_batch_norm_legit": _reduction(8),
    "_native_batch_norm_legit_no_training": _reduction(4),
    "native_batch_norm_backward": _reduction(11),  # two sums 5, then x̂ 2 and the gradient 4
    "native_layer_norm": _reduction(8),
    "native_layer_norm_backward": _reduction(11),
    # copies and fills: what is overwritten is not read
    **dict.fromkeys(("clone", "_to_copy", "cat", "stack", "constant_pad_nd", "repeat", "flip"), _copy()),
    **dict.fromkeys(("copy", "fill", "zero", "normal", "uniform", "random"), _copy("self")),
    **dict.fromkeys(("zeros", "ones", "full", "arange", "scalar_tensor", "rand", "randn"), _copy()),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros"), _copy("self")),
    **dict.fromkeys(("new_ones", "new_full", "select_backward", "slice_backward"), _copy("self")),
    "embedding": _gather("weight"),
    "index_select": _gather("self"),
    "gather": _gather("self"),
    "index": _gather("self"),
    "embedding_dense_backward": _copy(),
    # optimizers
    "_fused_adam": _optimizer(_adam),
    "_fused_adamw": _optimizer(_adam),
    "_fused_sgd": _optimizer(_sgd),
}
