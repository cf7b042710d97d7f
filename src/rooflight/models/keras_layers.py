"""A chain of Keras layers as PyTorch's own layers, exactly: the same numbers, without Keras's overhead in each layer.

Keras on PyTorch runs every layer through its own dispatch, an LSTM word by word. What is translated here trains and
infers as any other PyTorch model; the weights go back into the Keras model with `write_back`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Copy = Callable[[], None]  # writes trained weights back into the Keras layer that they came from
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "softplus": nn.Softplus,
}


class UntranslatedError(Exception):
    """What of a Keras model has no exact counterpart here."""


class KerasChain(nn.Module):
    """Keras's layers one after another, channels first inside."""

    def __init__(self, layers: list[nn.Module], *, channels_last_input: bool) -> None:
        """channels_last_input: images come as Keras has them, (N, H, W, C); False: as (N, C, H, W)."""
        super().__init__()
        self.channels_last_input = channels_last_input
        # Convolutions and pools at the beginning stand apart: train/layout.py runs `features` in oneDNN's own layout.
        lead = next((place for place, one in enumerate(layers) if not isinstance(one, _LEADING)), len(layers))
        self.features = nn.Sequential(*layers[:lead])
        self.head = nn.Sequential(*layers[lead:])

    def forward(self, batch: Tensor) -> Tensor:
        """(N, H, W, C) or (N, C, H, W), (N, T, D), (N, D), or token ids (N, T), as Keras's model takes them."""
        if batch.dim() == 4 and self.channels_last_input:
            batch = batch.permute(0, 3, 1, 2)
        result: Tensor = self.head(self.features(batch) if len(self.features) else batch)
        return result


def translate(model: Any, *, channels_last_input: bool) -> tuple[KerasChain, Callable[[], None]]:
    """A copy of the Keras model in PyTorch's layers, and the function that writes its weights back into it.

    The last layer's softmax or sigmoid is left out: what is given are scores.
    raises  UntranslatedError with the first layer that has no exact counterpart
    """
    layers: list[nn.Module] = []
    copies: list[Copy] = []
    chain = _chain(model)
    for place, layer in enumerate(chain):
        made, copy = _translated(layer, last=place == len(chain) - 1)
        if not layer.trainable:
            for module in made:
                module.requires_grad_(False)
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.register_forward_pre_hook(_stay_in_eval)
        layers += made
        copies += copy

    def write_back() -> None:
        for copy in copies:
            copy()

    return KerasChain(_pool_first(layers), channels_last_input=channels_last_input), write_back


def last_activation(model: Any) -> str:
    """The name of the activation that the model ends in; "linear" where there is none."""
    last = _last(model)
    if type(last).__name__ == "Softmax":
        return "softmax"
    return getattr(getattr(last, "activation", None), "__name__", "linear")


def _last(model: Any) -> Any:
    last = model.layers[-1]
    return _last(last) if hasattr(last, "layers") and last.layers else last


def _chain(model: Any) -> list[Any]:
    """The layers in order, those of models inside it included. raises UntranslatedError if they are no chain"""
    found: list[Any] = []
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        if hasattr(layer, "layers"):
            if not layer.trainable and any(one.trainable for one in layer.layers):
                raise UntranslatedError(f"{layer.name} is frozen, its layers are not")
            found += _chain(layer)
            continue
        nodes = getattr(layer, "_inbound_nodes", [])
        if any(len(node.input_tensors) != 1 for node in nodes):
            raise UntranslatedError(f"{layer.name} joins several inputs")
        found.append(layer)
    if type(model).__name__ not in ("Sequential", "Functional"):
        raise UntranslatedError(f"{type(model).__name__} has a forward pass of its own")
    if type(model).__name__ == "Functional":
        _check_line(model)
    return found


def _check_line(model: Any) -> None:
    """Each layer's output feeds the next one and no other."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    for before, after in itertools.pairwise(layers):
        if not any(_from(tensor) is before for node in after._inbound_nodes for tensor in node.input_tensors):
            raise UntranslatedError(f"{after.name} does not follow {before.name}")


def _from(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _translated(layer: Any, *, last: bool) -> tuple[list[nn.Module], list[Copy]]:
    """PyTorch's modules for a layer, with its weights, and how they get back."""
    kind = type(layer).__name__
    make = _MAKERS.get(kind)
    if make is None or type(layer).__module__.partition(".")[0] != "keras":
        raise UntranslatedError(f"{layer.name} is a {kind}")
    modules, copies = make(layer)
    activation = getattr(layer, "activation", None) if kind not in ("LSTM", "GRU") else None
    name = getattr(activation, "__name__", "linear") if activation is not None else "linear"
    if kind == "Softmax":
        name = "softmax"
    if name == "linear" or (last and name in ("softmax", "sigmoid")):
        return modules, copies
    if name not in ACTIVATIONS:
        raise UntranslatedError(f"{layer.name} has the activation {name}")
    return [*modules, ACTIVATIONS[name]()], copies


def _dense(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    width, units = layer.kernel.shape
    module = nn.Linear(width, units, bias=layer.use_bias)
    return [module], _shared(module, [(module.weight, layer.kernel, _transposed)], layer)


def _conv2d(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    _need_channels_last(layer)
    height, width, channels, filters = layer.kernel.shape
    module = nn.Conv2d(
        channels * layer.groups,
        filters,
        (height, width),
        stride=layer.strides,
        dilation=layer.dilation_rate,
        groups=layer.groups,
        bias=layer.use_bias,
    )
    before = _same_padding(layer, layer.kernel_size, layer.dilation_rate)
    if before and before[0] == before[1] and before[2] == before[3]:
        module.padding, before = (before[2], before[0]), ()  # the same on both sides: the convolution's own
    pad: list[nn.Module] = [nn.ZeroPad2d(before)] if before else []  # type: ignore[arg-type]
    return [*pad, module], _shared(module, [(module.weight, layer.kernel, _kernel)], layer)


def _kernel(kernel: Tensor) -> Tensor:
    """(R, S, C, K) ↔ (K, C, R, S)"""
    return kernel.permute(3, 2, 0, 1)


def _kernel_back(weight: Tensor) -> Tensor:
    return weight.permute(2, 3, 1, 0)


def _pool(make: Callable[..., nn.Module]) -> Callable[[Any], tuple[list[nn.Module], list[Copy]]]:
    def pool(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
        _need_channels_last(layer)
        if any(_same_padding(layer, layer.pool_size, (1, 1))):
            raise UntranslatedError(f"{layer.name} pads unevenly")
        return [make(layer.pool_size, stride=layer.strides)], []

    return pool


def _global_average(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    _need_channels_last(layer)
    if layer.keepdims:
        raise UntranslatedError(f"{layer.name} keeps its dimensions")
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()], []


def _batch_norm(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    channels_last = layer.axis in (-1, len(layer.input.shape) - 1)
    if not channels_last or not (layer.scale and layer.center) or len(layer.input.shape) not in (2, 4):
        raise UntranslatedError(f"{layer.name} normalises in a way of its own")
    kind = BatchNorm2d if len(layer.input.shape) == 4 else BatchNorm1d
    module: Any = kind(layer.input.shape[-1], eps=layer.epsilon, momentum=1 - layer.momentum)
    pairs = [
        (module.weight, layer.gamma, _as_it_is),
        (module.bias, layer.beta, _as_it_is),
        (module.running_mean, layer.moving_mean, _as_it_is),
        (module.running_var, layer.moving_variance, _as_it_is),
    ]
    return [module], [_copied(*pair) for pair in pairs]


def _embedding(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    if layer.mask_zero:
        raise UntranslatedError(f"{layer.name} masks zeros")
    module = nn.Embedding(layer.input_dim, layer.output_dim)
    return [_Embedding(module)], [_copied(module.weight, layer.embeddings, _as_it_is)]


def _lstm(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    cell = layer.cell
    plain = (
        cell.activation.__name__ == "tanh"
        and cell.recurrent_activation.__name__ == "sigmoid"
        and not (layer.go_backwards or layer.stateful or layer.return_state)
        and not (cell.dropout or cell.recurrent_dropout)
        and cell.use_bias
    )
    if not plain:
        raise UntranslatedError(f"{layer.name} is not the LSTM that cuDNN knows")
    module: Any = nn.LSTM(cell.kernel.shape[0], cell.units, batch_first=True)
    # PyTorch keeps cuDNN's two biases, which are added: the second one stays zero, as Keras has one.
    module.bias_hh_l0.data.zero_()
    module.bias_hh_l0.requires_grad_(False)
    pairs = [
        (module.weight_ih_l0, cell.kernel, _transposed),
        (module.weight_hh_l0, cell.recurrent_kernel, _transposed),
        (module.bias_ih_l0, cell.bias, _as_it_is),
    ]
    return [_Recurrent(module, sequences=layer.return_sequences)], [_copied(*pair) for pair in pairs]


def _dropout(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    if layer.noise_shape is not None:
        raise UntranslatedError(f"{layer.name} has a shape of its own")
    return [nn.Dropout(layer.rate)], []


def _rescaling(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    if not isinstance(layer.scale, int | float) or not isinstance(layer.offset, int | float):
        raise UntranslatedError(f"{layer.name} scales each channel")
    return [_Rescaling(float(layer.scale), float(layer.offset))], []


def _relu(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise UntranslatedError(f"{layer.name} is no plain ReLU")
    return [nn.ReLU()], []


def _nothing(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    return [], []


def _flatten(layer: Any) -> tuple[list[nn.Module], list[Copy]]:
    return [_Flatten()], []


_MAKERS: dict[str, Callable[[Any], tuple[list[nn.Module], list[Copy]]]] = {
    "Dense": _dense,
    "Conv2D": _conv2d,
    "MaxPooling2D": _pool(nn.MaxPool2d),
    "AveragePooling2D": _pool(nn.AvgPool2d),
    "GlobalAveragePooling2D": _global_average,
    "BatchNormalization": _batch_norm,
    "Embedding": _embedding,
    "LSTM": _lstm,
    "Dropout": _dropout,
    "Rescaling": _rescaling,
    "ReLU": _relu,
    "Activation": _nothing,
    "Softmax": _nothing,
    "Flatten": _flatten,
}


def _shared(module: Any, pairs: list[Any], layer: Any) -> list[Copy]:
    if layer.use_bias:
        pairs = [*pairs, (module.bias, layer.bias, _as_it_is)]
    return [_copied(*pair) for pair in pairs]


def _copied(own: Tensor, variable: Any, change: Callable[[Tensor], Tensor]) -> Copy:
    """Take a variable's value now, and give it back when called."""
    with torch.no_grad():
        own.copy_(change(variable.value.detach()))
    back = _kernel_back if change is _kernel else change  # the others undo themselves

    def give_back() -> None:
        variable.assign(back(own.detach()).contiguous().cpu())

    return give_back


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _transposed(value: Tensor) -> Tensor:
    return value.T


def _need_channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise UntranslatedError(f"{layer.name} has its channels first")


def _same_padding(layer: Any, size: Any, dilation: Any) -> tuple[int, ...]:
    """(left, right, top, bottom) of padding="same", which puts the odd pixel last; () for "valid"."""
    if layer.padding == "valid":
        return ()
    found: list[int] = []
    for length, kernel, stride, apart in zip(layer.input.shape[1:3], size, layer.strides, dilation, strict=True):
        if length is None:
            raise UntranslatedError(f"{layer.name} pads an image of any size")
        total = max((-(-length // stride) - 1) * stride + apart * (kernel - 1) + 1 - length, 0)
        found = [total // 2, total - total // 2, *found]
    return tuple(found) if any(found) else ()


def _pool_first(layers: list[nn.Module]) -> list[nn.Module]:
    """max(relu(x)) = relu(max(x)), and a ReLU behind the pool reads a quarter of the pixels."""
    ordered = list(layers)
    for place, (one, after) in enumerate(itertools.pairwise(ordered)):
        if isinstance(one, nn.ReLU) and isinstance(after, nn.MaxPool2d):
            ordered[place], ordered[place + 1] = after, one
    return ordered


def _stay_in_eval(module: nn.Module, inputs: Any) -> None:
    """A frozen normalisation uses its own statistics, as in Keras."""
    module.training = False


def _normalised(module: Any, x: Tensor) -> Tensor:
    """Batch normalisation with Keras's moving variance, of the batch as it is: PyTorch's is n / (n − 1) times it."""
    if not module.training:
        return F.batch_norm(x, module.running_mean, module.running_var, module.weight, module.bias, eps=module.eps)
    mean, variance = (
        module.running_mean.clone(),
        module.running_var.clone(),
    )  # the backward pass needs what it was given
    output = F.batch_norm(x, mean, variance, module.weight, module.bias, True, module.momentum, module.eps)
    count = x.numel() // x.shape[1]
    with torch.no_grad():
        module.running_mean.copy_(mean)
        module.running_var.mul_(1 - module.momentum).mul_(1 / count).add_(variance, alpha=(count - 1) / count)
    return output


class BatchNorm2d(nn.BatchNorm2d):
    """With Keras's moving variance."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input)


class BatchNorm1d(nn.BatchNorm1d):
    """With Keras's moving variance."""

    def forward(self, input: Tensor) -> Tensor:
        return _normalised(self, input)


class _Flatten(nn.Module):
    """In Keras's order, channels innermost."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).flatten(1)


class _Rescaling(nn.Module):
    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: Tensor) -> Tensor:
        return x.float() * self.scale + self.offset


class _Embedding(nn.Module):
    """Keras takes ids of any dtype."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids.long(), self.table.weight)


class _Recurrent(nn.Module):
    """An LSTM's outputs, or the last of them."""

    def __init__(self, layer: nn.LSTM, *, sequences: bool) -> None:
        super().__init__()
        self.layer, self.sequences = layer, sequences

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.layer(x)[0]
        return outputs if self.sequences else outputs[:, -1]


_LEADING = (nn.Conv2d, nn.ReLU, nn.MaxPool2d)
