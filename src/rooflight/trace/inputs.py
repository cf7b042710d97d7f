"""Batches and targets that have shapes only, for the common kinds of model."""

from collections.abc import Mapping

import torch
from torch import Tensor

from rooflight.core.types import Workload

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "tfloat32": torch.float32,  # float32 in memory
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def images(workload: Workload) -> Tensor:
    """A batch of floats in the parameters' dtype, (N, C, H, W), channels last if the workload is."""
    shape = (workload.batch // workload.accumulation, *workload.input_shape)
    batch = torch.empty(shape, dtype=DTYPES[workload.parameter_dtype])
    last = workload.channels_last and batch.dim() == 4
    return batch.contiguous(memory_format=torch.channels_last) if last else batch


def tokens(workload: Workload) -> Tensor:
    """A batch of int64 token ids, (N, T)."""
    return torch.zeros(workload.batch // workload.accumulation, *workload.input_shape, dtype=torch.int64)


def class_indices(scores: Tensor) -> Tensor:
    """The int64 targets that cross entropy wants beside (N, K, …) scores: (N, …)."""
    return torch.zeros(scores.shape[0], *scores.shape[2:], dtype=torch.int64)
