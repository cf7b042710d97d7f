"""One training step to be measured beside a run."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rooflight.core.training import TrainConfig
from rooflight.train.compiled import Way, compiled
from rooflight.train.fit import build_state
from rooflight.train.graphed import Graphed
from rooflight.train.loss import CrossEntropy, Loss
from rooflight.train.precision import autocast_of
from rooflight.train.ranks import Alone
from rooflight.train.step import Step


def probe_step(
    model: nn.Module,
    inputs: Any,
    targets: Tensor,
    *,
    dtype: torch.dtype,
    config: TrainConfig | None = None,
    loss: Loss | None = None,
    way: Way = "off",
) -> tuple[Callable[[], object], Callable[[], int]]:
    """A step on a copy of the model, so that its weights stay as they are.

    way      eager, compiled, or the whole step as a CUDA graph
    returns  the step, and a function that counts the bytes that stay between steps: parameters, buffers, optimizer
             state and the batch
    """
    config = config or TrainConfig()
    twin = compiled(copy.deepcopy(model).train(), way)
    state = build_state(twin, config, dtype=dtype, capturable=way == "graphs")
    eager = Step(
        loss=loss or CrossEntropy(smoothing=config.label_smoothing),
        autocast=autocast_of(state.device, dtype),
        rate_share=lambda step: 1.0,
        ranks=Alone(),
        seed=0,
        clip=config.clip,
        micro_batch=config.micro_batch,
    )
    once = Graphed(eager) if way == "graphs" else eager

    def step() -> object:
        return once(state, inputs, targets, len(targets))

    def staying() -> int:
        kept = [value for entry in state.optimizer.state.values() for value in entry.values()]
        tensors = (*state.model.parameters(), *state.model.buffers(), *kept, *pytree.tree_leaves(inputs), targets)
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))

    return step, staying
