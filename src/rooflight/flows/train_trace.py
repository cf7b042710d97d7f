"""What one step of a run asks of any device: the trace of its model on batches like its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rooflight.core.training import TrainConfig
from rooflight.core.types import Trace, Workload
from rooflight.flows.family import Reads, build_model

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.train.loss import Loss


def train_workload(config: TrainConfig, batch: tuple[Any, Tensor]) -> Workload:
    """The step as a workload. batch: as the run trains on, for its shapes."""
    from torch.utils import _pytree as pytree

    first = next(leaf for leaf in pytree.tree_leaves(batch[0]) if hasattr(leaf, "shape"))
    micro = config.micro_batch or config.batch
    dtype = "bfloat16" if config.dtype == "float8" else config.dtype  # of what stays as it is beside linear layers
    optimizer = "sgd-momentum" if config.optimizer == "sgd" and config.momentum else config.optimizer
    return Workload(
        model=config.model,
        task="train",
        batch=config.batch,
        input_shape=tuple(first.shape[1:]),
        dtype=dtype,
        optimizer=optimizer,
        channels_last=True,
        accumulation=1 if config.batch % micro else config.batch // micro,
    )


def trace_step(config: TrainConfig, reads: Reads, batch: tuple[Any, Tensor], loss: Loss, device_kind: str) -> Trace:
    """The trace of a step of config.batch samples, shaped like those of `batch`. Nothing of the run is changed.

    config  resolved: its dtype is not "auto"
    raises  TraceError if the model depends on its input's values
    """
    import torch
    from torch.utils import _pytree as pytree

    from rooflight.trace.tracer import trace

    inputs, targets = batch
    workload = train_workload(config, batch)
    samples = workload.batch // workload.accumulation

    def like(tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor):
            return tensor
        last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
        empty = torch.empty((samples, *tensor.shape[1:]), dtype=tensor.dtype)
        return empty.contiguous(memory_format=torch.channels_last) if last else empty

    return trace(
        lambda: build_model(config, reads, fresh=False),
        workload,
        loss=lambda outputs, wanted: loss.summed(outputs, wanted) / loss.weight(wanted),
        make_input=lambda workload: pytree.tree_map(like, inputs),
        make_target=lambda outputs: torch.zeros((samples, *targets.shape[1:]), dtype=targets.dtype),
        device="cuda" if device_kind == "cuda" else "cpu",
    )
