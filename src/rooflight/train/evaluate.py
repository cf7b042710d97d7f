"""Accuracy, loss and confusion matrix on held-out samples."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.runs import Evaluation
from rooflight.train.precision import Autocast


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    classes: int,
    autocast: Autocast,
) -> Evaluation:
    """The model's figures on every sample of `batches`, each counted once, the last small batch too."""
    model.eval()
    device = next(model.parameters()).device
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for images, labels in batches:
        with autocast():
            scores = model(images)
        loss += F.cross_entropy(scores.float(), labels, reduction="sum")
        confusion += torch.bincount(labels * classes + scores.argmax(1), minlength=classes * classes)
    matrix = confusion.view(classes, classes).cpu()
    count = int(matrix.sum())
    return Evaluation(
        accuracy=int(matrix.diagonal().sum()) / count,
        loss=float(loss) / count,
        count=count,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
    )
