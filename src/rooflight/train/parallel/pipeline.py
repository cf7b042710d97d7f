"""A model whose layers are spread over ranks: micro-batches follow each other through the stages (1F1B)."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B

from rooflight.core.errors import ConfigError
from rooflight.train.ranks import Autocast, Measure, Part

MICRO_BATCHES = 4  # for each stage: the share of the time that stages wait for each other is then about a fifth
IGNORED = -100  # a label that PyTorch's cross entropy leaves out


class Pipeline:
    """This rank's stage, and the schedule that runs it. source: Narayanan et al., arXiv 2104.04473 (1F1B)"""

    def __init__(self, stage: "InAutocast", runs: nn.Module, group: dist.ProcessGroup, device: torch.device) -> None:
        """stage: this rank's layers. runs: they, with what averages their gradients over replicas around them."""
        self.stage, self.runs, self.group, self.device = stage, runs, group, device
        self.index, self.count = group.rank(), group.size()
        self._measure: Measure
        self._schedule: Schedule1F1B | None = None
        self._made_for: tuple[int, int] = (0, 0)  # micro-batches, samples of each

    def parts(self, rows: int) -> int:
        """Micro-batches that keep the stages busy; not fewer than stages, which the schedule asks for."""
        return max(self.count, min(MICRO_BATCHES * self.count, rows))

    def backward(self, parts: Sequence[Part], measure: Measure, autocast: Autocast) -> None:
        """Forward and backward of all micro-batches; `measure` is called on the last stage alone."""
        rows = max(1, max(len(targets) for _, targets in parts))
        self._measure, self.stage.autocast = measure, autocast
        padded = [_padded(inputs, targets, rows) for inputs, targets in parts]
        if self._made_for != (len(parts), rows):
            self._schedule, self._made_for = self._build(len(parts), padded[0][0]), (len(parts), rows)
        assert self._schedule is not None
        last = self.index == self.count - 1
        # The schedule cuts them apart again, at the same places.
        arguments = (torch.cat([inputs for inputs, _ in padded]),) if self.index == 0 else ()
        targets = torch.cat([targets for _, targets in padded]) if last else None
        self._schedule.step(*arguments, target=targets, losses=[] if last else None)

    def forward(self, inputs: Tensor) -> Tensor:
        """The model's outputs, on every rank."""
        return self._relay(inputs)[-1]

    @torch.no_grad()
    def _relay(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each stage in turn hands its outputs to all: what this stage took, what it gave, what the last one gave."""
        x = taken = given = inputs
        for index in range(self.count):
            if index == self.index:
                taken, x = x, self.stage(x).contiguous()
                given = x
            told: list[Any] = [(tuple(x.shape), x.dtype)]
            source = dist.get_global_rank(self.group, index)
            dist.broadcast_object_list(told, source, self.group)
            if index != self.index:
                shape, dtype = told[0]
                x = torch.empty(shape, dtype=dtype, device=self.device)
            dist.broadcast(x, source, self.group)
        return taken, given, x

    def _build(self, micro_batches: int, inputs: Tensor) -> Schedule1F1B:
        # PyTorch would find the shapes with a forward and backward pass of its own, which draws random numbers and
        # measures a loss of nothing. In evaluation mode none are drawn, and no statistics move.
        training = self.stage.training
        self.runs.eval()
        taken, given, _ = self._relay(inputs)
        self.runs.train(training)
        stage = PipelineStage(
            self.runs,
            self.index,
            self.count,
            self.device,
            input_args=_shape_of(taken, gradient=self.index > 0),
            output_args=_shape_of(given, gradient=True),
            group=self.group,
        )
        # The loss is a sum that was divided by the whole batch: the gradients must not be divided again.
        return Schedule1F1B(stage, micro_batches, loss_fn=self._loss, scale_grads=False)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._measure(outputs, targets)


class InAutocast(nn.Module):
    """The schedule runs forward and backward in one call; autocast is for the forward alone."""

    autocast: Autocast = nullcontext

    def __init__(self, stage: nn.Module) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor) -> Any:
        with self.autocast():
            return self.stage(x)


def _shape_of(tensor: Tensor, *, gradient: bool) -> Tensor:
    return torch.empty_like(tensor, device="meta", requires_grad=gradient)


def _padded(inputs: Any, targets: Tensor, rows: int) -> Part:
    """All micro-batches have the same shape, for stages send each other what they expect; padding counts nothing."""
    missing = rows - len(targets)
    if not missing:
        return inputs, targets
    if targets.is_floating_point() or targets.dim() != 1:
        raise ConfigError("--pipeline pads the last micro-batch with ignored labels, and these targets are no labels.")
    zeros = inputs.new_zeros((missing, *inputs.shape[1:]))
    return torch.cat([inputs, zeros]), F.pad(targets, (0, missing), value=IGNORED)
