"""Models and results that have shapes and no memory."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from rooflight.trace.call import Call
from rooflight.trace.onednn import rnn_workspace_bytes


class Shapes(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Tensors with shapes and no memory. A copied layer stays in the same mode as the one it was copied from."""

    def __deepcopy__(self, memo: object) -> "Shapes":
        return self


# ---------------------------------------------------------------- models


def without_memory(
    model: nn.Module | Callable[[], nn.Module], mode: Shapes, dtype: torch.dtype, channels_last: bool
) -> nn.Module:
    """The model in that dtype and layout, without memory; a module that was given is left as it was."""
    source = model if isinstance(model, nn.Module) else _built(model)
    memo: dict[int, Any] = {}
    with mode:
        for tensor in (*source.parameters(), *source.buffers()):
            memo[id(tensor)] = _fake(tensor, dtype, channels_last)
    return copy.deepcopy(source, memo)


def _fake(tensor: Tensor, dtype: torch.dtype, channels_last: bool) -> Tensor:
    kind = dtype if tensor.is_floating_point() else tensor.dtype
    if channels_last and tensor.dim() == 4:
        fake = torch.empty(tensor.shape, dtype=kind, memory_format=torch.channels_last)
    else:
        fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=kind)
    return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


class _Uninitialised(TorchFunctionMode):
    """While a model is built: what torch.empty makes has no values yet, so it needs no memory either."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") in (None, "cpu", torch.device("cpu")):
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _built(build: Callable[[], nn.Module]) -> nn.Module:
    """The model as its function builds it. Most layers start with torch.empty, and their initial values are not drawn.

    Built whole on the meta device, the many models fail that compute a schedule and read its values.
    """
    try:
        with _Uninitialised():
            return build()
    except (NotImplementedError, RuntimeError):
        return build()  # its constructor looks at its weights' values


# ---------------------------------------------------------------- results of operators that torch has no shapes for,
# or finds them slowly


def _no_result(call: Call) -> None:
    """It changes what it was given and returns nothing."""


def _batch_norm(call: Call) -> tuple[Tensor, ...]:
    """Output, and for training the mean and the inverse deviation of each channel in float32."""
    x = call["input"]
    kept = [torch.empty(x.shape[1] if call["training"] else 0, dtype=torch.float32) for _ in range(2)]
    return torch.empty_like(x), *kept


def _batch_norm_backward(call: Call) -> tuple[Tensor | None, ...]:
    of_input, of_weight, of_bias = call["output_mask"]
    x, weight = call["input"], call["weight"]
    return (
        torch.empty_like(x) if of_input else None,
        torch.empty_like(weight) if of_weight else None,
        torch.empty_like(weight) if of_bias else None,
    )


def _rms_norm(call: Call) -> tuple[Tensor, Tensor]:
    """Output, and one over the root mean square of each row in float32."""
    x, rows = call["input"], call["input"].dim() - len(call["shape"])
    return torch.empty_like(x), torch.empty(*x.shape[:rows], *[1] * len(call["shape"]), dtype=torch.float32)


def _rms_norm_backward(call: Call) -> tuple[Tensor, Tensor]:
    x, weight = call["input"], call["weight"]
    return torch.empty_like(x), torch.empty_like(weight) if weight is not None else x.new_empty(0)


def _cudnn_rnn(call: Call) -> tuple[Tensor, ...]:
    """Output, last state, last cell, what backward will read (the gates, and the cells or candidates), the weights."""
    x, directions = call["input"], 1 + call["bidirectional"]
    out_size = call["proj_size"] or call["hidden_size"]
    out = x.new_empty(*x.shape[:-1], directions * out_size)
    hidden = call["hx"].new_empty(call["num_layers"] * directions, call["hx"].shape[1], out_size)
    cell = call["cx"].new_empty(call["cx"].shape) if call["cx"] is not None else x.new_empty(0)
    gates = call["weight"][0].shape[0]
    kept = x.numel() // x.shape[-1] * call["num_layers"] * directions * (gates + call["hidden_size"])
    reserve = torch.empty(kept * x.element_size() if call["train"] else 0, dtype=torch.uint8)
    return out, hidden, cell, reserve, call["weight_buf"]


def _cudnn_rnn_backward(call: Call) -> tuple[Any, ...]:
    of_input, of_hidden, of_cell, of_weight = call["output_mask"]
    return (
        torch.empty_like(call["input"]) if of_input else None,
        torch.empty_like(call["hx"]) if of_hidden else None,
        torch.empty_like(call["cx"]) if of_cell and call["cx"] is not None else None,
        [torch.empty_like(weight) for weight in call["weight"]] if of_weight else [],
    )


def _mkldnn_rnn(call: Call) -> tuple[Tensor, ...]:
    """Output, last state, last cell, and what oneDNN keeps for backward."""
    x = call["input"]
    kept = torch.empty(rnn_workspace_bytes(call), dtype=torch.uint8)
    out = x.new_empty(*x.shape[:-1], call["hidden_size"])
    return out, torch.empty_like(call["hx_"]), torch.empty_like(call["cx_"]), kept


def _mkldnn_rnn_backward(call: Call) -> tuple[Tensor, ...]:
    """Gradients of the input, four weights, state and cell, in float32 whatever the layer computes in."""
    names = ("input", "weight1", "weight2", "weight3", "weight4", "hx_", "cx_tmp")
    return tuple(torch.empty_like(call[name], dtype=torch.float32) for name in names)


RESULTS: Mapping[str, Callable[[Call], Any]] = {
    "aten::_fused_adam_": _no_result,
    "aten::_fused_adamw_": _no_result,
    "aten::_fused_sgd_": _no_result,
    "rooflight::adam8bit_": _no_result,
    "rooflight::fused_rms_norm": _rms_norm,
    "rooflight::fused_rms_norm_backward": _rms_norm_backward,
    "aten::native_batch_norm": _batch_norm,
    "aten::native_batch_norm_backward": _batch_norm_backward,
    "aten::_cudnn_rnn": _cudnn_rnn,
    "aten::mkldnn_rnn_layer": _mkldnn_rnn,
    "aten::mkldnn_rnn_layer_backward": _mkldnn_rnn_backward,
    "aten::_cudnn_rnn_backward": _cudnn_rnn_backward,
}
