"""The U-Net of NVIDIA's nnU-Net example: MONAI's DynUNet, of two or three dimensions.

source  PyTorch/Segmentation/nnUNet/nnunet/nn_unet.py; MONAI's default filters: 32 · 2^level, at most 512 in two
        dimensions and 320 in three; the first task's patches, 192 × 160 or 128 × 128 × 128 of 4 channels; five halvings
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS, CLASSES, HALVINGS = 4, 4, 5


class Unet(nn.Module):
    """(N, 4, H, W[, D]) → (N, 4, H, W[, D])."""

    def __init__(self, *, dims: int) -> None:
        super().__init__()
        most = 512 if dims == 2 else 320
        widths = [min(32 * 2**level, most) for level in range(HALVINGS + 1)]
        transposed = nn.ConvTranspose2d if dims == 2 else nn.ConvTranspose3d
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.down = nn.ModuleList(
            Twice(CHANNELS if level == 0 else widths[level - 1], width, 1 if level == 0 else 2, dims)
            for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(transposed(low, high, 2, 2) for high, low in pairwise(widths))
        self.join = nn.ModuleList(Twice(2 * width, width, 1, dims) for width in widths[:-1])
        self.out = conv(widths[0], CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
        for level in reversed(range(HALVINGS)):
            x = self.join[level](torch.cat((self.up[level](x), kept[level]), dim=1))
        scores: Tensor = self.out(x)
        return scores


class Twice(nn.Module):
    """Convolution, instance norm and leaky ReLU, twice."""

    def __init__(self, before: int, after: int, stride: int, dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        self.first, self.second = conv(before, after, 3, stride, 1, bias=False), conv(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(norm(after, affine=True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norms[0](self.first(x)), 0.01, inplace=True)
        return F.leaky_relu(self.norms[1](self.second(x)), 0.01, inplace=True)
