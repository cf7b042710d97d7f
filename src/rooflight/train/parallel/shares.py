"""A rank's share of batches that know nothing of ranks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from rooflight.train.loop import EpochBatches
from rooflight.train.ranks import Ranks


class Shares:
    """Every rank makes the whole batch and takes its samples: right for any, wasteful where making them is work."""

    def __init__(self, inner: EpochBatches, ranks: Ranks) -> None:
        self.inner, self.ranks = inner, ranks

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        return self.inner.samples

    def order(self, epoch: int) -> NDArray[np.int64]:
        """As the inner batches have it."""
        return self.inner.order(epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """(inputs, targets) of this rank."""
        for inputs, targets in self.inner.epoch(epoch, start=start):
            yield pytree.tree_map(self.ranks.share, inputs), self.ranks.share(targets)
