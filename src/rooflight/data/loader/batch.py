"""A batch on the host: decoded into memory that is used again, then one tensor, or images of several sizes."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ShapeError

Images = Tensor | Sequence[Tensor]


class Transform(Protocol):
    """What happens to a batch after decoding: drawn for each sample by its number, then applied."""

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Any:
        """Draws for the samples: a function of (sample, epoch, seed) alone."""

    def apply(self, images: Images, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
        """A new tensor: the batch with the draws applied.

        images  uint8 (N, C, H, W), or N of (C, H, W) in several sizes
        sizes   int64 (N, 2) on the host: height and width of each image where a tensor holds them padded
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class HostBatch:
    """A batch as a worker made it."""

    after: int  # samples of the epoch that are given out with it
    epoch: int
    ids: NDArray[np.int64]  # (n,)
    places: slice  # of the epoch's order
    inputs: Tensor | None  # None: `files` are decoded on the device
    files: tuple[bytes | NDArray[Any], ...] = ()
    sizes: Tensor | None = None  # int64 (n, 2): height and width of each image; None: all fill the tensor
    labels: Tensor  # int64 (n,)

    def pinned(self) -> "HostBatch":
        """The same in memory that a device copies from without waiting for the host."""
        inputs = None if self.inputs is None else self.inputs.pin_memory()
        return replace(self, inputs=inputs, labels=self.labels.pin_memory())


class Arena(threading.local):
    """Memory that a worker decodes each batch into: fresh memory costs a page fault every 4 KiB."""

    def __init__(self) -> None:
        self._flat = np.empty(0, np.uint8)
        self._used = 0

    def restart(self) -> None:
        """What was given out is given out again; larger, if it did not suffice."""
        if self._used > len(self._flat):
            self._flat = np.empty(self._used, np.uint8)
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: type[np.uint8] = np.uint8) -> NDArray[np.uint8]:
        """As numpy.empty, one behind the other."""
        start, self._used = self._used, self._used + prod(shape)
        if self._used > len(self._flat):
            return np.empty(shape, dtype)
        return self._flat[start : self._used].reshape(shape)

    def together(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
        """Arrays of one shape as one, without a copy, where they lie one behind the other here; else None."""
        first = arrays[0]
        step, address = first.nbytes, first.ctypes.data
        start = address - self._flat.ctypes.data
        if first.dtype != np.uint8 or start < 0 or start + step * len(arrays) > len(self._flat):
            return None
        if any(array.ctypes.data != address + step * number for number, array in enumerate(arrays)):
            return None
        return self._flat[start : start + step * len(arrays)].reshape(len(arrays), *first.shape)


def same_size(arrays: Sequence[NDArray[Any]]) -> bool:
    """Whether they can be one tensor as they are. raises ShapeError for clips of different lengths"""
    lengths = {array.shape[:-3] for array in arrays}
    if len(lengths) > 1:
        raise ShapeError(f"clips of {sorted(lengths)} frames cannot be one batch. Try one length for all.")
    return all(array.shape == arrays[0].shape for array in arrays)


def as_images(arrays: Sequence[NDArray[Any]], arena: Arena) -> Images:
    """Decoded pixels or frames for a transform on the host: copied only where they are of one size and lie apart."""
    if not same_size(arrays):
        return [torch.from_numpy(array).movedim(-1, 0) for array in arrays]
    together = arena.together(arrays)
    return torch.from_numpy(np.stack(arrays) if together is None else together).movedim(-1, 1)


def collate(arrays: Sequence[NDArray[Any]]) -> tuple[Tensor, Tensor | None]:
    """Decoded samples as one new tensor, and their sizes where they differ.

    arrays   pixels (H, W, C), frames (T, H, W, C) or tokens (T,)
    returns  uint8 (n, C, H, W), smaller images in the upper left corner of zeros; uint8 (n, C, T, H, W); int64 (n, T).
             Pixels stay in the order of decoders, channels last
    raises   ShapeError for clips of different lengths
    """
    first = arrays[0]
    if first.ndim == 1:
        return torch.from_numpy(np.stack(arrays)), None
    if same_size(arrays):
        return torch.from_numpy(np.stack(arrays)).movedim(-1, 1), None
    height, width = (max(array.shape[axis] for array in arrays) for axis in (-3, -2))
    out = np.zeros((len(arrays), *first.shape[:-3], height, width, first.shape[-1]), np.uint8)
    for row, array in zip(out, arrays, strict=True):
        row[..., : array.shape[-3], : array.shape[-2], :] = array
    sizes = torch.tensor([array.shape[-3:-1] for array in arrays], dtype=torch.int64)
    return torch.from_numpy(out).movedim(-1, 1), sizes
