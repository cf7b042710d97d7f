"""Mini-batches of a set that lives on the device: shuffled, augmented, normalised there, and the host never waits."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.runs import Preprocessing
from rooflight.data.augment import Draw, apply, draw, pad
from rooflight.data.loader.batch import Transform
from rooflight.data.loader.order import check_ranks, rank_slices, shuffled

# Batches are made this many images at a time, but not more bytes: the few small operators of a draw then cost next to
# nothing a step.
CHUNK = 4096
CHUNK_BYTES = 64 * 2**20  # of float32


class Batches:
    """A training set as mini-batches.

    What an epoch holds, and what happens to each sample, depends on (seed, epoch, sample) alone: not on the batch, on
    the number of ranks, or on where the epoch is begun.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing,
        *,
        batch: int,
        shift: int,
        flip: bool,
        augmented_epochs: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        transform: Transform | None = None,
    ) -> None:
        """images: uint8 (N, C, H, W); labels: int64 (N,). Both are moved to the device, once.

        batch             samples of all ranks together
        augmented_epochs  after this epoch, images are as they are: the last steps then learn what the test shows
        transform         what happens to images in place of shift, mirror and normalisation, in all epochs
        raises            ConfigError for a batch that the ranks cannot share
        """
        check_ranks(0, batch=batch, rank=rank, world_size=world_size, drop_last=False)
        shift = 0 if transform is not None else shift
        self.padded = pad(images.to(device), shift)
        self.labels = labels.to(device)
        self.preprocessing = preprocessing
        self.batch, self.shift, self.flip, self.seed = batch, shift, flip, seed
        self.augmented_epochs = augmented_epochs
        self.rank, self.world_size = rank, world_size
        self.transform = transform

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        return len(self.labels)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The samples of an epoch in the order that they are trained on, of all ranks together."""
        return shuffled(self.samples, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(float32 (n, C, H, W), int64 (n,)) of this rank: each sample once, from place `start` of the order on."""
        order = self.order(epoch)
        places = rank_slices(
            len(order), batch=self.batch, rank=self.rank, world_size=self.world_size, start=start, drop_last=False
        )
        mine = [order[chosen] for _, chosen in places]
        most = min(CHUNK, CHUNK_BYTES // (4 * self.padded[0].numel()))
        together = max(1, most // max(1, self.batch // self.world_size))
        for first in range(0, len(mine), together):
            yield from self._made(mine[first : first + together], epoch)

    def _made(self, batches: list[NDArray[np.int64]], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Several batches in one pass."""
        ids, sizes = np.concatenate(batches), [len(one) for one in batches]
        chosen = torch.from_numpy(ids).to(self.labels.device, non_blocking=True)
        if self.transform is None:
            images = apply(self.padded, chosen, self._draw(ids, epoch), shift=self.shift)
            pixels = normalise(images, self.preprocessing)
        else:
            draws = self.transform.draw(ids, epoch=epoch, seed=self.seed)
            pixels = self.transform.apply(self.padded[chosen], draws)
        yield from zip(pixels.split(sizes), self.labels[chosen].split(sizes), strict=True)

    def _draw(self, ids: NDArray[np.int64], epoch: int) -> Draw:
        on = epoch <= self.augmented_epochs
        shift, flip = (self.shift, self.flip) if on else (0, False)
        return draw(ids, epoch=epoch, seed=self.seed, shift=shift, flip=flip, device=self.labels.device)


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, C, H, W) to float32: (x / 255 − mean) / std in one multiply-add per pixel."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, -1, 1, 1)
    return torch.addcmul(-mean / std, images.float(), 1 / (255 * std))
