"""Accuracy, loss and confusion matrix on held-out samples."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.runs import Evaluation
from rooflight.train.precision import Autocast

MOST_CLASSES = 256  # of a confusion matrix that someone reads; a vocabulary's would hold a million counts


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
    counted = classes if classes <= MOST_CLASSES else 0
    confusion = torch.zeros(counted * counted, dtype=torch.int64, device=device)
    correct, count = torch.zeros((), dtype=torch.int64, device=device), 0
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for images, labels in batches:
        with autocast():
            scores = model(images)
        loss += F.cross_entropy(scores.float(), labels, reduction="sum")
        found = scores.argmax(1)
        correct += (found == labels).sum()
        count += len(labels)
        if counted:
            confusion += torch.bincount(labels * classes + found, minlength=classes * classes)
    matrix = confusion.view(counted, counted).cpu()
    return Evaluation(
        accuracy=int(correct) / count,
        loss=float(loss) / count,
        count=count,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
    )
