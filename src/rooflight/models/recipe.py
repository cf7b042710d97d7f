"""How a named model is built, and what it is fed with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.types import Workload


def micro_batch(workload: Workload) -> int:
    """Samples that go through the model at once."""
    return workload.batch // workload.accumulation


def image_batch(workload: Workload) -> Tensor:
    """A batch of pictures or clips, (N, C, H, W) or (N, C, T, H, W), in the parameters' dtype."""
    dtype = getattr(torch, workload.parameter_dtype)
    batch = torch.empty(micro_batch(workload), *workload.input_shape, dtype=dtype)
    last = workload.channels_last and batch.dim() == 4
    return batch.contiguous(memory_format=torch.channels_last) if last else batch


def token_batch(workload: Workload) -> Tensor:
    """A batch of token ids, int64 (N, T)."""
    return torch.zeros(micro_batch(workload), *workload.input_shape, dtype=torch.int64)


def masked_batch(workload: Workload) -> dict[str, Tensor]:
    """A batch of texts that fill it: token ids and their mask, int64 (N, T) each."""
    ids = token_batch(workload)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def scores_loss(output: Any, target: Tensor) -> Tensor:
    """Cross entropy of the scores, and of those of auxiliary heads beside them."""
    return torch.stack([F.cross_entropy(scores, target) for scores in _scores(output)]).sum()


def class_targets(output: Any) -> Tensor:
    """The int64 class indices that cross entropy wants beside (N, K, …) scores: (N, …)."""
    scores = _scores(output)[0]
    return torch.zeros(scores.shape[0], *scores.shape[2:], dtype=torch.int64)


def _scores(output: Any) -> list[Tensor]:
    """A tensor, or the tensors of a tuple or dict, of those that an auxiliary head adds."""
    if isinstance(output, Tensor):
        return [output]
    values = output.values() if isinstance(output, dict) else output
    return [value for value in values if isinstance(value, Tensor)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A model by name: how it is built, what one sample looks like, and how a step feeds and judges it."""

    name: str  # with its library: "torchvision:resnet50"
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    make_input: Callable[[Workload], Any] = image_batch
    loss: Callable[[Any, Any], Tensor] = scores_loss  # of the output and the target
    make_target: Callable[[Any], Any] = class_targets  # from the output
    note: str | None = None  # what to know of a step that runs, but is not as the model was meant
