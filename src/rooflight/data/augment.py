"""Random shift and mirror of images on the device, in one gather.

Each augmentation is two functions: `draw`, random and tiny, and `apply`, deterministic. No branch depends on a value of
a tensor, so nothing waits for the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rooflight.data.pipeline.philox import words


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What happens to each of n samples. All int64 (n,), on the images' device."""

    down: Tensor  # pixels, −shift to shift
    right: Tensor
    mirrored: Tensor  # 0 or 1


def draw(ids: NDArray[np.int64], *, epoch: int, seed: int, shift: int, flip: bool, device: torch.device) -> Draw:
    """Shifts uniform in −shift to shift, mirrored with probability ½: words of Philox, by the sample's number."""
    drawn = words(ids, epoch=epoch, seed=seed, operation=0, blocks=1)
    moves = (drawn[:, :2] % np.uint64(2 * shift + 1)).astype(np.int64) - shift
    mirrored = (drawn[:, 2] & np.uint64(int(flip))).astype(np.int64)
    down, right, turned = torch.from_numpy(np.stack((moves[:, 0], moves[:, 1], mirrored))).to(device, non_blocking=True)
    return Draw(down=down, right=right, mirrored=turned)


def pad(images: Tensor, shift: int) -> Tensor:
    """A black border as wide as the largest shift, made once, so that a shift is an offset and never a branch."""
    return F.pad(images, (shift, shift, shift, shift))


def apply(padded: Tensor, chosen: Tensor, params: Draw, *, shift: int) -> Tensor:
    """The chosen images, each mirrored, then shifted; what moves in is black.

    padded   uint8 (N, C, H + 2·shift, W + 2·shift), from `pad`
    chosen   int64 (n,): which images
    returns  uint8 (n, C, H, W): every pixel is read once and written once
    """
    _, channels, padded_height, padded_width = padded.shape
    height, width = padded_height - 2 * shift, padded_width - 2 * shift
    # int32 indices halve the traffic of the gather; a set of 2³¹ pixels or more needs int64.
    kind = torch.int32 if padded.numel() < 2**31 else torch.int64
    y = torch.arange(height, device=padded.device, dtype=kind)
    x = torch.arange(width, device=padded.device, dtype=kind)
    step = (1 - 2 * params.mirrored)[:, None].to(kind)
    # Pixel (y, x) of the result comes from row y − down, column x − right, counted from the far edge when mirrored.
    rows = y + (shift - params.down)[:, None].to(kind)
    columns = (x - params.right[:, None].to(kind)) * step + params.mirrored[:, None].to(kind) * (width - 1) + shift
    plane = chosen.to(kind)[:, None] * channels + torch.arange(channels, device=padded.device, dtype=kind)
    index = (plane * padded_height)[:, :, None] + rows[:, None, :]
    index = (index * padded_width)[:, :, :, None] + columns[:, None, None, :]
    return padded.view(-1).index_select(0, index.view(-1)).view(index.shape)
