"""Accuracy, loss and confusion matrix on held-out samples."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.runs import Evaluation
from rooflight.train.loss import CrossEntropy, Loss
from rooflight.train.precision import Autocast

MOST_CLASSES = 1000  # of a confusion matrix: a million numbers in result.json


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Any, Tensor]],
    *,
    classes: int,
    autocast: Autocast,
    loss: Loss | None = None,
) -> Evaluation:
    """The model's figures on every sample of `batches`, each counted once, the last small batch too.

    classes  0: targets are no labels, and there is no accuracy
    loss     default: cross entropy
    """
    model.eval()
    judge = loss or CrossEntropy()
    device = next(model.parameters()).device
    width = classes if classes <= MOST_CLASSES else 0
    confusion = torch.zeros(width * width, dtype=torch.int64, device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    weight: Tensor | int = 0
    count = 0
    for inputs, targets in batches:
        with autocast():
            outputs = model(inputs)
        outputs = outputs.float() if isinstance(outputs, Tensor) else outputs
        total += judge.summed(outputs, targets)
        weight = weight + judge.weight(targets)
        count += len(targets)
        if classes:
            found = outputs.argmax(1)
            right += (found == targets).sum()
            if width:
                confusion += torch.bincount(targets * classes + found, minlength=width * width)
    return Evaluation(
        accuracy=int(right) / count if classes else None,
        loss=float(total) / float(weight),
        count=count,
        confusion=tuple(tuple(row) for row in confusion.view(width, width).tolist()),
    )
