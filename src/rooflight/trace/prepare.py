"""What a workload asks of the model before the step: what trains, adapters, activation checkpointing."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rooflight.core.errors import ConfigError
from rooflight.core.types import Workload


def prepare(model: nn.Module, workload: Workload) -> nn.Module:
    """The model in its mode, frozen, adapted and checkpointed as the workload says, in place."""
    training = workload.task == "train"
    if training and workload.trainable != "all":
        head = _head(model, workload)
        model.requires_grad_(False)
        if workload.trainable == "lora":
            _adapt(model, workload, head)
        else:
            head.requires_grad_(True)
    if training and workload.checkpointing:
        _checkpoint(model, workload)
    return model.train(training)


def _head(model: nn.Module, workload: Workload) -> nn.Module:
    """The last linear layer."""
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ConfigError(f"{workload.model} has no linear layer to train alone. Try trainable 'all'.")
    return linear[-1]


class Lora(nn.Module):
    """A frozen linear layer and a trained one of low rank beside it: y = W·x + B·A·x.

    source  Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022
    """

    def __init__(self, base: nn.Module, features: tuple[int, int], rank: int, weight: Tensor) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Parameter(torch.empty(rank, features[0], dtype=weight.dtype))
        self.up = nn.Parameter(torch.empty(features[1], rank, dtype=weight.dtype))

    def __getattr__(self, name: str) -> Any:
        """Some models read a layer's weight or bias: they get the base's."""
        return super().__getattr__(name) if name in ("base", "down", "up") else getattr(self.base, name)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.base(x) + F.linear(F.linear(x, self.down), self.up)
        return total


def _adapt(model: nn.Module, workload: Workload, head: nn.Module) -> None:
    """An adapter at every linear layer but the head."""
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if layer is not head and _is_linear(layer)
    ]
    if not found:
        raise ConfigError(f"{workload.model} has no linear layer to adapt beside its head. Try trainable 'head'.")
    for parent, name, layer in found:
        weight = next(layer.parameters())
        rows, columns = weight.shape
        features = (columns, rows) if isinstance(layer, nn.Linear) else (rows, columns)
        setattr(parent, name, Lora(layer, features, workload.lora_rank, weight))


def _is_linear(layer: nn.Module) -> bool:
    """Also the transposed one that transformers has for GPT-2, whose weight is (in, out)."""
    return isinstance(layer, nn.Linear) or type(layer).__name__ == "Conv1D"


def _checkpoint(model: nn.Module, workload: Workload) -> None:
    """By the library's own switch where the model has one, else at every block of a repeated kind."""
    of_transformers = getattr(model, "gradient_checkpointing_enable", None)
    if not getattr(model, "supports_gradient_checkpointing", True):
        raise ConfigError(f"{workload.model} supports no activation checkpointing. Try without.")
    of_timm = getattr(model, "set_grad_checkpointing", None)
    if not (of_transformers or of_timm) and _is_of_transformers(model):
        raise ConfigError(
            f"this version of transformers gives {workload.model} no gradient_checkpointing_enable. Try another "
            "version, or without checkpointing."
        )
    if of_transformers:
        of_transformers({"use_reentrant": False})
    elif of_timm:
        of_timm(True)
    else:
        blocks = list(_blocks(model))
        if not blocks:
            raise ConfigError(f"{workload.model} repeats no block whose activations could be checkpointed.")
        for block in blocks:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def _is_of_transformers(model: nn.Module) -> bool:
    """Its blocks return more than a tensor: they are checkpointed by its own switch or not at all."""
    return any(kind.__module__.startswith("transformers.") for kind in type(model).__mro__)


def _blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost layers made of others that stand at least twice in one list."""
    for child in model.children():
        inner = [part for part in child.children() if any(part.children())]
        kinds = [type(part) for part in inner]
        if isinstance(child, nn.Sequential | nn.ModuleList) and any(kinds.count(kind) > 1 for kind in kinds):
            yield from (part for part in inner if kinds.count(type(part)) > 1)
        else:
            yield from _blocks(child)
