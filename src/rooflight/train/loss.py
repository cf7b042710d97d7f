"""The loss of a batch, summed, so that micro-batches and ranks add up to the whole batch's mean."""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Loss(Protocol):
    """What a step makes small."""

    def summed(self, outputs: Any, targets: Any) -> Tensor:
        """The sum over the samples, a scalar with its graph."""

    def weight(self, targets: Any) -> Tensor | int:
        """What the sum is divided by for the mean: the samples, or the sum of their weights."""


class CrossEntropy:
    """Of class scores against int64 labels."""

    def __init__(self, *, class_weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        """class_weights: float32 (classes,), of which a sample counts its label's; None: all count 1."""
        self.class_weights, self.smoothing = class_weights, smoothing

    def summed(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """outputs: scores (n, classes). targets: int64 (n,)."""
        return F.cross_entropy(
            outputs, targets, weight=self.class_weights, label_smoothing=self.smoothing, reduction="sum"
        )

    def weight(self, targets: Tensor) -> Tensor | int:
        """As PyTorch's mean has it: n, or the sum of the labels' weights."""
        return len(targets) if self.class_weights is None else self.class_weights[targets].sum()


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """float32 (classes,): samples of a class in inverse proportion to their number, 1 on average over all samples."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
