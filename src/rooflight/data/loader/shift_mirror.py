"""The CNN's augmentation for images that come from disk: shift, mirror, normalise."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ShapeError
from rooflight.core.runs import Preprocessing
from rooflight.data.augment import Draw, apply, draw, pad
from rooflight.data.batches import normalise
from rooflight.data.loader.batch import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftMirror:
    """A Transform. After `augmented_epochs`, images are only normalised."""

    preprocessing: Preprocessing
    shift: int
    flip: bool
    augmented_epochs: int

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Draw:
        """Shifts uniform in −shift to shift, mirrored with probability ½: words of Philox, by the sample's number."""
        on = epoch <= self.augmented_epochs
        shift, flip = (self.shift, self.flip) if on else (0, False)
        return draw(ids, epoch=epoch, seed=seed, shift=shift, flip=flip, device=torch.device("cpu"))

    def apply(self, images: Images, draws: Draw, *, sizes: Tensor | None = None) -> Tensor:
        """uint8 (N, C, H, W) to float32 of the same shape. raises ShapeError for images of several sizes"""
        if not isinstance(images, Tensor):
            raise ShapeError("shift and mirror take images of one size. Try fitting them as they are decoded.")
        device = images.device
        moved = Draw(down=draws.down.to(device), right=draws.right.to(device), mirrored=draws.mirrored.to(device))
        every = torch.arange(len(images), device=device)
        shifted = apply(pad(images.contiguous(), self.shift), every, moved, shift=self.shift)
        return normalise(shifted, self.preprocessing)
