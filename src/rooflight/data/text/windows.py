"""Windows of a stream of tokens: so many tokens, and the one that follows. The stream is on the device, once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.data.loader.order import check_ranks, rank_slices, shuffled
from rooflight.data.text.vocabulary import UNKNOWN

# Windows are gathered this many at a time: the small operators of a gather then cost next to nothing a step.
CHUNK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Documents end to end, and where windows begin: `length` tokens, the one that follows, all of them known."""

    tokens: NDArray[np.int32]
    starts: NDArray[np.int64]  # in order; a window's place in it is its sample number
    length: int


def make_stream(documents: Sequence[NDArray[np.int32]], length: int) -> Stream:
    """All windows of the documents that lie in one of them and hold no unknown token."""
    starts, first = [], 0
    for tokens in documents:
        unknown = np.concatenate(([0], np.cumsum(tokens == UNKNOWN)))
        last = len(tokens) - length  # a window holds length + 1 tokens
        if last > 0:
            known = unknown[length + 1 :] == unknown[:last]
            starts.append(first + np.flatnonzero(known))
        first += len(tokens)
    return Stream(
        tokens=np.concatenate(documents) if documents else np.zeros(0, np.int32),
        starts=np.concatenate(starts).astype(np.int64) if starts else np.zeros(0, np.int64),
        length=length,
    )


class Windows:
    """Windows of a stream as mini-batches, shuffled anew in each epoch by (seed, epoch) alone."""

    def __init__(
        self,
        stream: Stream,
        *,
        batch: int,
        seed: int,
        device: torch.device,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """batch: samples of all ranks together. Raises ConfigError for a batch that the ranks cannot share."""
        check_ranks(0, batch=batch, rank=rank, world_size=world_size, drop_last=False)
        self.tokens = torch.from_numpy(stream.tokens).to(device)
        self.starts = stream.starts
        self.reach = torch.arange(stream.length + 1, device=device)
        self.batch, self.seed, self.shuffle = batch, seed, shuffle
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def samples(self) -> int:
        """Windows in an epoch, of all ranks together."""
        return len(self.starts)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The windows of an epoch in the order that they are trained on, of all ranks together."""
        if not self.shuffle:
            return np.arange(self.samples, dtype=np.int64)
        return shuffled(self.samples, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(int64 (n, T), int64 (n,)) of this rank: each window once, from place `start` of the order on."""
        order = self.order(epoch)
        places = rank_slices(
            len(order), batch=self.batch, rank=self.rank, world_size=self.world_size, start=start, drop_last=False
        )
        mine = [order[chosen] for _, chosen in places]
        together = max(1, CHUNK // max(1, self.batch // self.world_size))
        for first in range(0, len(mine), together):
            yield from self._gather(mine[first : first + together])

    def labels(self) -> Tensor:
        """int64: the token that follows each window."""
        starts = torch.from_numpy(self.starts).to(self.tokens.device)
        return self.tokens[starts + self.reach[-1]].long()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass, as evaluation takes it."""
        return self.epoch(0)

    def _gather(self, batches: list[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Several batches in one pass."""
        ids, sizes = np.concatenate(batches), [len(one) for one in batches]
        starts = torch.from_numpy(self.starts[ids]).to(self.tokens.device, non_blocking=True)
        windows = self.tokens[starts[:, None] + self.reach].long()
        inputs, targets = windows[:, :-1].contiguous(), windows[:, -1].contiguous()
        yield from zip(inputs.split(sizes), targets.split(sizes), strict=True)
