"""Mini-batches of a set that lives on the device: shuffled, augmented, normalised there, and the host never waits."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rooflight.core.runs import Preprocessing
from rooflight.data.augment import apply, draw, pad

# Batches are made this many images at a time: the few small operators of a draw then cost next to nothing a step.
CHUNK = 4096


class Batches:
    """A training set as mini-batches. What an epoch holds depends on (seed, epoch) alone."""

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
    ) -> None:
        """images: uint8 (N, C, H, W); labels: int64 (N,). Both are moved to the device, once.

        augmented_epochs  after this epoch, images are as they are: the last steps then learn what the test shows
        """
        self.padded = pad(images.to(device), shift)
        self.labels = labels.to(device)
        self.preprocessing = preprocessing
        self.batch, self.shift, self.flip, self.seed = batch, shift, flip, seed
        self.augmented_epochs = augmented_epochs
        self.generator = torch.Generator(device=device)

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-len(self.labels) // self.batch)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Each sample once: (float32 (n, C, H, W), int64 (n,)), n = batch but for the last."""
        self.generator.manual_seed(self.seed * 1_000_003 + epoch)
        augmented = epoch <= self.augmented_epochs
        shift, flip = self.shift if augmented else 0, self.flip and augmented
        order = torch.randperm(len(self.labels), generator=self.generator, device=self.labels.device)
        for chosen in order.split(max(1, CHUNK // self.batch) * self.batch):
            params = draw(len(chosen), self.generator, shift=shift, flip=flip)
            images = normalise(apply(self.padded, chosen, params, shift=self.shift), self.preprocessing)
            yield from zip(images.split(self.batch), self.labels[chosen].split(self.batch), strict=True)


def normalise(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, C, H, W) to float32: (x / 255 − mean) / std in one multiply-add per pixel."""
    mean = torch.tensor(preprocessing.mean, device=images.device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std, device=images.device).view(1, -1, 1, 1)
    return torch.addcmul(-mean / std, images.float(), 1 / (255 * std))
