"""Image files to uint8 tensors, and any images to the size and channels that a model takes."""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rooflight.core.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def decode_image(path: Path, channels: int) -> Tensor:
    """One file as uint8 (C, H, W), in the orientation that its EXIF data asks for.

    channels  1: grey; 3: RGB
    raises    DataError if the file is not there, or cannot be decoded
    """
    from torchvision.io import ImageReadMode, decode_image  # 2 s to import: only where files are decoded

    if not path.is_file():
        raise DataError(f"{path}: no such image file.")
    mode = ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB
    try:
        content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        with warnings.catch_warnings(action="ignore"):
            image = decode_image(content, mode=mode, apply_exif_orientation=True)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "empty file"
        raise DataError(f"{path} cannot be decoded ({reason}). Try replacing or removing it.") from None
    return image[0] if image.dim() == 4 else image  # an animated GIF: its first frame


def fit_images(images: Tensor, channels: int, height: int, width: int) -> Tensor:
    """uint8 (N, C, H, W) to (N, channels, height, width): grey by the ITU-R 601 weights, antialiased bilinear resizing.

    Images that fit already are returned as they are. Training and prediction share this function: they cannot differ.
    """
    if images.shape[1] != channels:
        images = _to_grey(images) if channels == 1 else images[:, :1].expand(-1, channels, -1, -1)
    if images.shape[2:] == (height, width):
        return images.contiguous()
    pieces = [
        F.interpolate(piece.float(), size=(height, width), mode="bilinear", antialias=True, align_corners=False)
        for piece in images.split(1024)  # in pieces: the float copy is four times the set
    ]
    return torch.cat([piece.round_().clamp_(0, 255).to(torch.uint8) for piece in pieces])


def _to_grey(images: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images[:, :3].float() * weights).sum(1, keepdim=True).round_().clamp_(0, 255).to(torch.uint8)
