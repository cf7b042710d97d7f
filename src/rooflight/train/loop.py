"""The training loop."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Autocast = Callable[[], AbstractContextManager[object]]


class EpochBatches(Protocol):
    """Anything that yields the mini-batches of an epoch."""

    def __len__(self) -> int:
        """Steps in an epoch."""

    def epoch(self, epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
        """(input, label) pairs on the model's device."""


@dataclass(slots=True)
class Totals:
    """Sums over an epoch, kept on the device: reading one makes the host wait, so it is read once an epoch."""

    loss: Tensor
    correct: Tensor
    samples: int = 0


def train_epochs(
    model: nn.Module,
    batches: EpochBatches,
    *,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    scaler: torch.amp.GradScaler,
    autocast: Autocast,
    on_step: Callable[[int], None],
    on_epoch: Callable[[int, Totals], None],
) -> None:
    """Train for some epochs. Precision and layout were decided before; watching and saving are the callbacks' affair.

    on_step   called with the number of samples after each step is issued
    on_epoch  called with the epoch, counted from 1, and its sums
    """
    device = next(model.parameters()).device
    for epoch in range(1, epochs + 1):
        model.train()
        totals = Totals(torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device))
        for images, labels in batches.epoch(epoch):
            loss, scores = train_step(model, images, labels, optimizer=optimizer, scaler=scaler, autocast=autocast)
            scheduler.step()
            totals.loss += loss * len(labels)
            totals.correct += (scores.argmax(1) == labels).sum()
            totals.samples += len(labels)
            on_step(len(labels))
        on_epoch(epoch, totals)


def train_step(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    autocast: Autocast,
) -> tuple[Tensor, Tensor]:
    """Forward, loss, backward, update. Returns the loss and the scores (n, classes), without their graph."""
    with autocast():
        scores = model(images)
        loss = F.cross_entropy(scores, labels)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach(), scores.detach()
