"""What a loader reads: samples by number, each read and decoded apart, so that both can be timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.data.decode import decode_pixels, fit_images
from rooflight.data.jpeg import Empty


class Source(Protocol):
    """Samples numbered 0 … len − 1. Workers call `read` and `decode` from several threads at once."""

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""

    @property
    def shards(self) -> tuple[int, ...]:
        """How many samples lie together in each file that is best read from end to end; (N,): no file is."""

    def __len__(self) -> int: ...

    def name(self, sample: int) -> str:
        """A file, or what else a person finds the sample by."""

    def read(self, sample: int) -> Any:
        """The sample as it is stored. raises OSError if it cannot be read"""

    def decode(self, content: Any, sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        """What `read` gave, decoded: pixels (H, W, C), frames (T, H, W, C) or tokens (T,). raises DataError

        empty  makes an array to decode into, which is used again for the next batch; a source may ignore it
        """


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """One image file for each sample."""

    paths: Sequence[Path]
    labels: Tensor
    channels: int
    fit: tuple[int, int] | None = None  # height and width that each image is brought to; None: it keeps its own

    @property
    def shards(self) -> tuple[int, ...]:
        return (len(self.paths),)

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, sample: int) -> str:
        return str(self.paths[sample])

    def read(self, sample: int) -> bytes:
        return self.paths[sample].read_bytes()

    def decode(self, content: bytes, sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        pixels = decode_pixels(content, self.channels, name=self.name(sample), empty=empty)
        if self.fit is None:
            return pixels
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
        return fit_images(image, self.channels, *self.fit)[0].permute(1, 2, 0).numpy()

    def part(self, samples: Tensor) -> "ImageFiles":
        """The samples of these numbers, in this order, numbered anew."""
        chosen = [self.paths[number] for number in samples.tolist()]
        return ImageFiles(chosen, self.labels[samples], self.channels, self.fit)


@dataclass(frozen=True, slots=True)
class ArrayImages:
    """Images in an array, in memory or mapped from a file with numpy.load(path, mmap_mode="r")."""

    pixels: NDArray[np.uint8]  # (N, H, W, C)
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or len(self.pixels) != len(self.labels):
            raise DataError(
                f"an array of images is uint8 (N, H, W, C) with N labels; this one is {self.pixels.dtype} "
                f"{self.pixels.shape} with {len(self.labels)} labels."
            )

    @property
    def shards(self) -> tuple[int, ...]:
        return (len(self.pixels),)

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, sample: int) -> str:
        return f"row {sample}"

    def read(self, sample: int) -> NDArray[Any]:
        return np.array(self.pixels[sample])  # a copy: of a mapped file, this is what reads it

    def decode(self, content: NDArray[Any], sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        return content


def grey_as_rgb(images: Tensor, labels: Tensor) -> ArrayImages:
    """uint8 (N, 1, H, W) as images of three equal channels, which are held once."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    return ArrayImages(np.broadcast_to(pixels, (*pixels.shape[:3], 3)), labels)


@dataclass(frozen=True, slots=True)
class TextWindows:
    """Windows of a long line of tokens: `length` tokens to see, and the one after them to guess."""

    tokens: NDArray[np.int64]  # (M,)
    length: int

    def __post_init__(self) -> None:
        if len(self.tokens) <= self.length:
            raise DataError(f"{len(self.tokens)} tokens make no window of {self.length} and one more.")

    @property
    def labels(self) -> Tensor:
        return torch.from_numpy(self.tokens[self.length :])

    @property
    def shards(self) -> tuple[int, ...]:
        return (len(self),)

    def __len__(self) -> int:
        return len(self.tokens) - self.length

    def name(self, sample: int) -> str:
        return f"tokens {sample} to {sample + self.length}"

    def read(self, sample: int) -> NDArray[Any]:
        return self.tokens[sample : sample + self.length]

    def decode(self, content: NDArray[Any], sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        return content
