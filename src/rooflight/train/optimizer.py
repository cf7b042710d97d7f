"""The optimizer, and the learning rate as a function of the step alone."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rooflight.core.training import TrainConfig

RISING = 0.2  # share of a cycle's steps over which its learning rate rises


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that share a learning rate."""

    parameters: Sequence[nn.Parameter]
    lr: float  # the highest of the run


def build_optimizer(groups: Sequence[Group], config: TrainConfig, *, capturable: bool = False) -> torch.optim.Optimizer:
    """One fused kernel for all parameters of a group.

    capturable  the rate is a tensor, for a CUDA graph to read; a number is an argument of the kernel, copied nowhere
    """
    params = [
        {"params": alike, "lr": _rate(group.lr, alike, capturable), "highest": group.lr}
        for group in groups
        for alike in by_mesh(group.parameters)
    ]
    match config.optimizer:
        case "adam":
            return torch.optim.Adam(params, weight_decay=config.weight_decay, fused=True, capturable=capturable)
        case "adamw":
            return torch.optim.AdamW(params, weight_decay=config.weight_decay, fused=True, capturable=capturable)
        case "sgd":
            return torch.optim.SGD(
                params, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
            )


def by_mesh(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Those that one kernel can take together: whole ones, and those that the same ranks have parts of."""
    groups: dict[object, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
    return list(groups.values())


@torch.no_grad()
def allocate_state(optimizer: torch.optim.Optimizer) -> None:
    """Make the averages that a fresh optimizer will keep."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    set_rates(optimizer, 0.0)  # an update of nothing
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for entry in optimizer.state.values():
        for value in entry.values():
            if isinstance(value, torch.Tensor):
                value.zero_()


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Each group's rate: this share of its highest."""
    for group in optimizer.param_groups:
        rate = group["highest"] * share
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _rate(lr: float, parameters: Sequence[nn.Parameter], capturable: bool) -> float | Tensor:
    return torch.tensor(lr, device=parameters[0].device) if capturable else lr


def rate_share(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """The share of the highest learning rate at each step, counted from 0, of a run of `steps`.

    source  one cycle: Smith, arXiv 1708.07120; cosine: Loshchilov and Hutter, arXiv 1608.03983
    """
    asked = RISING if config.warm_up is None and config.schedule == "one-cycle" else config.warm_up or 0.0
    rising = max(1, round(asked * steps)) if asked else 0

    def share(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        if config.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return share
