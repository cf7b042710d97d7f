"""What a step asks of the other ranks. Alone, the answers are at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, overload

import torch
from torch import Tensor, nn

from rooflight.train.memory import is_out_of_memory

if TYPE_CHECKING:
    from rooflight.train.state import TrainState

Autocast = Callable[[], AbstractContextManager[object]]
Part = tuple[Any, Tensor]  # inputs and targets of a micro-batch
Measure = Callable[[Any, Tensor], Tensor]  # outputs and targets of a micro-batch → what backward begins at


class Ranks(Protocol):
    """The processes that train one model together."""

    @property
    def rank(self) -> int:
        """Which replica this process belongs to; those of one replica see the same samples."""

    @property
    def world_size(self) -> int:
        """All processes."""

    @property
    def replicas(self) -> int:
        """Over how many gradients are averaged."""

    @property
    def stages(self) -> int:
        """Over how many ranks the layers of a replica are spread."""

    @property
    def is_main(self) -> bool:
        """Is it the process that prints, saves and writes metrics?"""

    def parts(self, rows: int, micro_batch: int | None) -> int:
        """Into how many micro-batches the largest share of a batch goes: the same number on all ranks."""

    def backward(self, model: nn.Module, parts: Sequence[Part], measure: Measure, autocast: Autocast) -> None:
        """Forward, measure and backward of each micro-batch; then the gradients are the replicas' average."""

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        """The outputs, without gradients."""

    def share(self, tensor: Tensor) -> Tensor:
        """The samples of a batch that are this replica's."""

    @overload
    def total(self, value: Tensor) -> Tensor: ...
    @overload
    def total(self, value: int) -> int: ...
    def total(self, value: Tensor | int) -> Tensor | int:
        """The sum over the replicas."""

    def last_stage(self, value: Tensor) -> Tensor:
        """What the last stage measured, on all stages."""

    def is_failure(self, error: Exception) -> bool:
        """Does the error mean that the step begins again: out of memory, here or on another rank?"""

    def agree(self, failed: bool) -> bool:
        """Has any rank failed?"""

    def begin_again(self, state: TrainState) -> None:
        """After a failure: the state as it was before the step, ready for it."""

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Scale the gradient down to this norm, that of all ranks' parts together."""

    def agree_on_overflow(self, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        """A gradient that is too large for float16 on one stage is too large for all."""

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the main process whole tensors, of all ranks' parts, as one process has them. All ranks must call."""

    def parted(self, tensors: Mapping[str, Tensor], templates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of whole tensors, what this rank has: those that `templates` names, in their form."""


class Alone:
    """One process."""

    rank, world_size, replicas, stages, is_main = 0, 1, 1, 1, True

    def parts(self, rows: int, micro_batch: int | None) -> int:
        return -(-rows // micro_batch) if micro_batch else 1

    def backward(self, model: nn.Module, parts: Sequence[Part], measure: Measure, autocast: Autocast) -> None:
        for inputs, targets in parts:
            with autocast():
                loss = measure(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        return model(inputs)

    def share(self, tensor: Tensor) -> Tensor:
        return tensor

    @overload
    def total(self, value: Tensor) -> Tensor: ...
    @overload
    def total(self, value: int) -> int: ...
    def total(self, value: Tensor | int) -> Tensor | int:
        return value

    def last_stage(self, value: Tensor) -> Tensor:
        return value

    def is_failure(self, error: Exception) -> bool:
        return is_out_of_memory(error)

    def agree(self, failed: bool) -> bool:
        return failed

    def begin_again(self, state: TrainState) -> None:
        pass

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        torch.nn.utils.clip_grad_norm_(list(parameters), norm, foreach=True)

    def agree_on_overflow(self, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        pass

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(tensors)

    def parted(self, tensors: Mapping[str, Tensor], templates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(tensors)
