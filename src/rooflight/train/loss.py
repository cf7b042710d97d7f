"""The loss of a batch, summed, so that micro-batches and ranks add up to the whole batch's mean."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rooflight.core.errors import ConfigError


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


class MeanSquaredError:
    """Of values against float targets; a sample's is the mean over its values."""

    def summed(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """outputs and targets: (n,) or (n, …), a last dimension of 1 in one of them only included."""
        squares = (outputs.float().reshape(targets.shape) - targets).square()
        return squares.reshape(len(targets), -1).mean(1).sum()

    def weight(self, targets: Tensor) -> int:
        return len(targets)


class OwnLoss:
    """A user's function of (outputs, targets), which gives the mean over the samples, or each sample's."""

    def __init__(self, function: Callable[[Any, Any], Tensor]) -> None:
        self.function = function

    def summed(self, outputs: Any, targets: Tensor) -> Tensor:
        """raises  ConfigError if the function gives neither one number nor one for each sample"""
        found = self.function(outputs, targets)
        if isinstance(found, Tensor) and found.shape == (len(targets),):
            return found.sum()
        if not isinstance(found, Tensor) or found.numel() != 1:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(
                f"LOSS gives {shape} for {len(targets)} samples. Try the mean over the samples, or one loss for each."
            )
        return found.reshape(()) * len(targets)

    def weight(self, targets: Tensor) -> int:
        return len(targets)


def held_out_loss(loss: Loss) -> Loss:
    """What held-out samples are judged by: the same, without the weights and the smoothing that help to learn."""
    return CrossEntropy() if isinstance(loss, CrossEntropy) else loss


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """float32 (classes,): samples of a class in inverse proportion to their number, 1 on average over all samples."""
    counts = torch.bincount(labels, minlength=classes).clamp(min=1)
    return (len(labels) / (classes * counts)).float()
