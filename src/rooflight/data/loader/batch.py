"""A batch on the host: samples of any size side by side in one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ShapeError


class Transform(Protocol):
    """What happens to a batch after decoding: drawn for each sample by its number, then applied."""

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Any:
        """Draws for the samples: a function of (sample, epoch, seed) alone."""

    def apply(self, images: Tensor, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
        """The batch with the draws applied. sizes: int64 (N, 2), height and width where images are padded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """A batch as a worker made it."""

    after: int  # samples of the epoch that are given out with it
    epoch: int
    ids: NDArray[np.int64]  # (n,)
    inputs: Tensor
    sizes: Tensor | None  # int64 (n, 2): height and width of each image; None: all fill the tensor
    labels: Tensor  # int64 (n,)

    def pinned(self) -> "HostBatch":
        """The same in memory that a device copies from without waiting for the host."""
        return replace(self, inputs=self.inputs.pin_memory(), labels=self.labels.pin_memory())


def collate(arrays: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor | None]:
    """Decoded samples as one tensor, and their sizes where they differ.

    arrays   pixels (H, W, C), frames (T, H, W, C) or tokens (T,)
    returns  uint8 (n, C, H, W), smaller images in the upper left corner of zeros; uint8 (n, C, T, H, W); int64 (n, T).
             Pixels stay in the order of decoders, channels last
    raises   ShapeError for clips of different lengths
    """
    first = arrays[0]
    if first.ndim == 1:
        return torch.from_numpy(np.stack(arrays)), None
    height, width = (max(array.shape[axis] for array in arrays) for axis in (-3, -2))
    lengths = {array.shape[:-3] for array in arrays}
    if len(lengths) > 1:
        raise ShapeError(f"clips of {sorted(lengths)} frames cannot be one batch. Try one length for all.")
    same = all(array.shape[-3:-1] == (height, width) for array in arrays)
    if same:
        out = np.stack(arrays)
    else:
        out = np.zeros((len(arrays), *first.shape[:-3], height, width, first.shape[-1]), np.uint8)
        for row, array in zip(out, arrays, strict=True):
            row[..., : array.shape[-3], : array.shape[-2], :] = array
    sizes = None if same else torch.tensor([array.shape[-3:-1] for array in arrays], dtype=torch.int64)
    return torch.from_numpy(out).movedim(-1, 1), sizes
