"""What a step asks of the other ranks. Alone, the answers are at hand."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Ranks(Protocol):
    """The processes that train one model together."""

    rank: int
    world_size: int
    replicas: int  # data-parallel ones, over which the wrapped model averages gradients

    def total(self, value: Tensor | int) -> Tensor | int:
        """The sum over the replicas."""

    def agree(self, failed: bool) -> bool:
        """Has any rank failed?"""

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Scale the gradient down to this norm, that of all ranks' parts together."""

    def no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        """Gradients made in it stay on the rank: more micro-batches follow."""


class Alone:
    """One process."""

    rank, world_size, replicas = 0, 1, 1

    def total(self, value: Tensor | int) -> Tensor | int:
        return value

    def agree(self, failed: bool) -> bool:
        return failed

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        torch.nn.utils.clip_grad_norm_(list(parameters), norm, foreach=True)

    def no_sync(self, model: nn.Module) -> AbstractContextManager[Any]:
        return nullcontext()
