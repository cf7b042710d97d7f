"""Outputs of a frozen base, computed once: kept, then given out as mini-batches for the head."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.core.units import show_bytes
from rooflight.data.loader.order import Order, check_ranks, rank_slices, shuffled

FEATURES = "features"  # the name of the model's input
SLICE = 256  # samples of an evaluation at once


def keep_features(rows: Iterable[Tensor], count: int, *, folder: Path | None = None) -> Tensor:
    """All rows as one tensor (n, …) of float32 on the host, filled as they come.

    count   of them at most: broken samples may be missing
    folder  where a file without a name is written and mapped into memory from, and is gone when the process is; None:
            they are held in memory
    raises  DataError if the disk is full
    """
    if folder is not None:
        return _mapped(rows, count, folder)
    kept, done = torch.empty(0), 0
    for some in rows:
        if not done:
            kept = torch.empty(count, *some.shape[1:])
        kept[done : done + len(some)] = some
        done += len(some)
    return kept[:done]


def feature_pairs(features: Tensor, labels: Tensor, device: torch.device) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Features in order, for an evaluation."""
    for some, of in zip(features.split(SLICE), labels.split(SLICE), strict=True):
        yield {FEATURES: some.to(device)}, of.to(device)


class FeatureBatches:
    """Mini-batches of features, in the order that the samples themselves would come in.

    Epoch e shows view (e + sample) mod views of a sample, so that each epoch mixes all views.
    """

    def __init__(
        self,
        views: list[Tensor],
        labels: Tensor,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """views: float32 (N, …) each, of the same samples differently augmented. batch: of all ranks together"""
        check_ranks(0, batch=batch, rank=rank, world_size=world_size, drop_last=False)
        self.views, self.labels = views, labels
        self.batch, self.seed, self.device = batch, seed, device
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        return len(self.labels)

    def order(self, epoch: int) -> Order:
        """The samples of an epoch in the order that they are trained on."""
        return shuffled(self.samples, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """({"features": (n, …)}, int64 (n,)) of this rank, from place `start` of the order on."""
        order = self.order(epoch)
        places = rank_slices(
            len(order), batch=self.batch, rank=self.rank, world_size=self.world_size, start=start, drop_last=False
        )
        for _, chosen in places:
            ids = torch.from_numpy(order[chosen])
            yield {FEATURES: self._rows(ids, epoch).to(self.device)}, self.labels[ids].to(self.device)

    def _rows(self, ids: Tensor, epoch: int) -> Tensor:
        if len(self.views) == 1:
            return self.views[0][ids.to(self.views[0].device)]
        view = (ids + epoch) % len(self.views)
        rows = [self.views[number][sample] for number, sample in zip(view.tolist(), ids.tolist(), strict=True)]
        return torch.stack(rows)


class SampleBatches(Protocol):
    """The samples themselves as mini-batches, in the same order."""

    def __len__(self) -> int: ...

    @property
    def samples(self) -> int: ...

    def order(self, epoch: int) -> Order: ...

    def epoch(self, epoch: int, *, start: int = 0) -> Iterable[tuple[Any, Tensor]]: ...


class Phases:
    """Mini-batches of features while the head is trained, then of the samples, for the whole model."""

    def __init__(self, tuned: SampleBatches, *, head_epochs: int, on_tuning: Callable[[], None]) -> None:
        """on_tuning: called when samples are first asked for. `features` must be set before an epoch of the head."""
        self.tuned, self.head_epochs, self.on_tuning = tuned, head_epochs, on_tuning
        self.features: FeatureBatches | None = None
        self.tuning = head_epochs == 0  # are the samples themselves given out, as far as was asked?

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self.tuned)

    @property
    def samples(self) -> int:
        """In an epoch."""
        return self.tuned.samples

    def order(self, epoch: int) -> Order:
        """As both kinds have it."""
        return self.tuned.order(epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterable[tuple[Any, Tensor]]:
        """Of features up to the last epoch of the head."""
        if epoch > self.head_epochs:
            if not self.tuning:
                self.tuning = True
                self.on_tuning()
            return self.tuned.epoch(epoch, start=start)
        assert self.features is not None
        return self.features.epoch(epoch, start=start)


def _mapped(rows: Iterable[Tensor], count: int, folder: Path) -> Tensor:
    """Written first and mapped then: a full disk is an error to be told, and not a crash at a later page."""
    shape, done = tuple[int, ...](), 0
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for some in rows:
                shape = tuple(some.shape[1:])
                file.write(some.contiguous().numpy().data)
                done += len(some)
            file.flush()
            return torch.from_numpy(np.memmap(file, np.float32, mode="c", shape=(done, *shape)))
    except OSError as error:
        size = count * torch.Size(shape).numel() * 4
        raise DataError(
            f"{folder}: {show_bytes(size)} of features cannot be written ({error.strerror}). Try another --out, "
            "fewer --views, or --head pooled."
        ) from None
