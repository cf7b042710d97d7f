"""Accuracy, loss and confusion matrix on held-out samples."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rooflight.core.runs import Evaluation
from rooflight.train.loss import CrossEntropy, Loss
from rooflight.train.ranks import Alone, Autocast, Ranks

MOST_CLASSES = 256  # of a confusion matrix that someone reads; a vocabulary's would hold a million counts


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Any, Tensor]],
    *,
    classes: int,
    autocast: Autocast,
    ranks: Ranks | None = None,
    judge: Loss | None = None,
) -> Evaluation:
    """The model's figures on every sample of `batches`, each counted once, the last small batch too.

    classes  0: targets are no labels, and there is no accuracy
    judge    the loss; default: cross entropy

    Each replica takes its share of every batch; all ranks return the whole.
    """
    model.eval()
    judge = judge or CrossEntropy()
    ranks = ranks or Alone()
    device = next(model.parameters()).device
    counted = classes if classes <= MOST_CLASSES else 0
    confusion = torch.zeros(counted * counted, dtype=torch.int64, device=device)
    correct, count = torch.zeros((), dtype=torch.int64, device=device), 0
    loss = torch.zeros((), dtype=torch.float64, device=device)
    for images, labels in batches:
        own, of = pytree.tree_map(ranks.share, images), ranks.share(labels)
        if not len(of):  # all take part in a forward pass of parts: with a sample that is another's, and does not count
            own = pytree.tree_map(lambda tensor: tensor[:1], images)
        with autocast():
            scores = ranks.forward(model, own)[: len(of)]
        loss += judge.summed(scores.float(), of)
        count += len(of)
        if not classes:
            continue
        found = scores.argmax(1)
        correct += (found == of).sum()
        if counted:
            confusion += torch.bincount(of * classes + found, minlength=classes * classes)
    confusion, loss, correct = ranks.total(confusion), ranks.total(loss), ranks.total(correct)
    count = ranks.total(count)
    matrix = confusion.view(counted, counted).cpu()
    return Evaluation(
        accuracy=int(correct) / count if classes else None,
        loss=float(loss) / count,
        count=count,
        confusion=tuple(tuple(row) for row in matrix.tolist()),
    )
