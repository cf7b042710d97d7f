"""Accuracy, loss and confusion matrix on held-out samples."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rooflight.core.runs import Evaluation
from rooflight.train.ranks import Alone, Autocast, Ranks


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    classes: int,
    autocast: Autocast,
    ranks: Ranks | None = None,
) -> Evaluation:
    """The model's figures on every sample of `batches`, each counted once, the last small batch too.

    Each replica takes its share of every batch; all ranks return the whole.
    """
    model.eval()
    ranks = ranks or Alone()
    device = next(model.parameters()).device
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for images, labels in batches:
        own, of = pytree.tree_map(ranks.share, images), ranks.share(labels)
        if not len(of):  # all take part in a forward pass of parts: with a sample that is another's, and does not count
            own = pytree.tree_map(lambda tensor: tensor[:1], images)
        with autocast():
            scores = ranks.forward(model, own)[: len(of)]
        loss += F.cross_entropy(scores.float(), of, reduction="sum")
        confusion += torch.bincount(of * classes + scores.argmax(1), minlength=classes * classes)
    confusion, loss = ranks.total(confusion), ranks.total(loss)
    matrix = confusion.view(classes, classes).cpu()
    count = int(matrix.sum())
    return Evaluation(
        accuracy=int(matrix.diagonal().sum()) / count,
        loss=float(loss) / count,
        count=count,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
    )
