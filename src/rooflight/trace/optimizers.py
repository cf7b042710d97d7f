"""Optimizers by name, as one fused operator for all parameters, as lists of operators, or with states of 8 bits."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.trace.fused import operator

BLOCK = 256  # elements that share one scale
SMALLEST = 4096  # a tensor of fewer elements keeps states of 32 bits


class Adam8bit(torch.optim.Optimizer):
    """Adam with both moments in 8 bits and a float32 scale for each block of them, one operator per parameter.

    source  Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022, and bitsandbytes' defaults since 0.43
    """

    def __init__(self, parameters: Iterable[nn.Parameter], weight_decay: float = 0.0) -> None:
        super().__init__(parameters, {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    if not self.state[parameter]:
                        self.state[parameter] = _moments(parameter)
                    state = self.state[parameter].values()
                    operator("adam8bit_")(parameter, parameter.grad, *state, group["weight_decay"])


def _moments(parameter: Tensor) -> dict[str, Tensor]:
    small = parameter.numel() < SMALLEST
    kind, blocks = (torch.float32, 0) if small else (torch.uint8, ceil(parameter.numel() / BLOCK))
    moments = {name: torch.zeros_like(parameter, dtype=kind) for name in ("exp_avg", "exp_avg_sq")}
    scales = {name: parameter.new_zeros(blocks, dtype=torch.float32) for name in ("scale_avg", "scale_avg_sq")}
    return moments | scales


Build = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

OPTIMIZERS: Mapping[str, Build] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adam-foreach": partial(torch.optim.Adam, foreach=True),
    "adam-8bit": Adam8bit,
    "adamw": partial(torch.optim.AdamW, fused=True),
    "adamw-foreach": partial(torch.optim.AdamW, foreach=True),
    "adamw-8bit": partial(Adam8bit, weight_decay=0.01),
    "sgd": partial(torch.optim.SGD, lr=0.1, fused=True),
    "sgd-foreach": partial(torch.optim.SGD, lr=0.1, foreach=True),
    "sgd-momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True),
    "sgd-momentum-foreach": partial(torch.optim.SGD, lr=0.1, momentum=0.9, foreach=True),
}
