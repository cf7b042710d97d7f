"""Which sample comes when: a function of (seed, epoch) alone, and a place in it that is three integers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError

Order = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderState:
    """Where a loader is. It counts samples of all ranks, so batch, workers and world size may change at a resume."""

    seed: int
    epoch: int
    samples: int  # of this epoch, given out to all ranks together


def shuffled(count: int, *, seed: int, epoch: int, lane: int = 0) -> Order:
    """A permutation of 0 … count − 1, the same on every machine: the order of `count` 64-bit words of Philox.

    lane    another permutation of the same epoch
    source  NumPy keeps the words of a bit generator the same between versions, which it does not promise of shuffles
    """
    words = np.random.Philox(key=_key(seed, epoch), counter=[0, 0, 0, lane]).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def _key(seed: int, epoch: int) -> NDArray[np.uint64]:
    """In 64 bits each: NumPy makes a list with a number of 2⁶³ and more floats, which would lose its last digits."""
    return np.array([seed, epoch], np.uint64)


def check_seed(seed: int) -> None:
    """Raise ConfigError for a seed that no key holds."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise ConfigError(f"the seed {seed!r} is no whole number of 0 … 2^64 − 1.")


def shuffled_by_shard(sizes: Sequence[int], buffer: int, *, seed: int, epoch: int) -> Order:
    """Shards in random order, read one after another through a shuffle of `buffer` samples at a time.

    Samples that come close to each other lie in few shards, which are then read from end to end.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)])
    shards = shuffled(len(sizes), seed=seed, epoch=epoch, lane=1)
    in_line = np.concatenate([np.arange(starts[shard], starts[shard + 1]) for shard in shards])
    words = np.random.Philox(key=_key(seed, epoch), counter=[0, 0, 0, 2]).random_raw(len(in_line))
    blocks = np.arange(len(in_line)) // buffer
    return in_line[np.lexsort((words, blocks))].astype(np.int64)  # by block, then by word within it


def rank_slices(
    count: int, *, batch: int, rank: int, world_size: int, start: int, drop_last: bool
) -> Iterator[tuple[int, slice]]:
    """(samples given out after it, places in the order) of each of a rank's batches.

    batch  of all ranks together. A rank takes every world_size-th place of it, so that the global batch is the same
           set of samples for every world size
    start  samples of the epoch that were given out before
    """
    for first in range(start, count, batch):
        after = min(first + batch, count)
        if after - first == batch or not drop_last:
            yield after, slice(first + rank, after, world_size)


def check_ranks(left: int, *, batch: int, rank: int, world_size: int, drop_last: bool) -> None:
    """Raise ConfigError for batches that ranks cannot share equally: those with less would leave the others waiting.

    left  samples that the epoch still has
    """
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of {world_size}: ranks are 0 to {world_size - 1}.")
    if batch % world_size:
        raise ConfigError(f"a batch of {batch} samples cannot be shared by {world_size} ranks. Try a multiple.")
    if (left % batch) % world_size and not drop_last:
        raise ConfigError(
            f"the last batch has {left % batch} samples, which {world_size} ranks cannot share. Try drop_last=True."
        )
