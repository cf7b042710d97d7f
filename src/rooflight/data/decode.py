"""Image files to uint8 tensors, and any images to the size and channels that a model takes."""

import io
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.data.jpeg import Empty, decode_plain_jpeg
from rooflight.data.pipeline.operations import Resize
from rooflight.data.pipeline.pipeline import Pipeline

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def is_image(path: Path) -> bool:
    """A file with the suffix of one, and none that the system hides."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def decode_image(source: Path | bytes, channels: int, *, name: str = "") -> Tensor:
    """One PNG, JPEG, WebP or GIF (its first frame) as uint8 (C, H, W), turned as its EXIF data asks for.

    source    a file, or the bytes of one, then with a name for the error
    channels  1: grey, by the ITU-R 601 weights; 3: RGB. Transparency is dropped, 16 bits become 8
    raises    DataError if the file is not there, or cannot be decoded
    """
    if isinstance(source, Path):
        if not source.is_file():
            raise DataError(f"{source}: no such image file.")
        name = str(source)
        try:
            source = source.read_bytes()
        except OSError as error:
            raise DataError(f"{name} cannot be read ({error.strerror}). Try replacing or removing it.") from None
    return torch.from_numpy(decode_pixels(source, channels, name=name)).permute(2, 0, 1).contiguous()


def decode_pixels(content: bytes, channels: int, *, name: str, empty: Empty = np.empty) -> NDArray[np.uint8]:
    """`decode_image` in the order that decoders write: uint8 (H, W, C). empty: makes the array of a plain JPEG."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise DataError(f"{name} cannot be decoded (empty file). Try replacing or removing it.")
    try:
        plain = decode_plain_jpeg(content, empty)
        if plain is not None:
            return plain if channels == 3 else np.array(Image.fromarray(plain).convert("L"))[:, :, None]
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content)) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits: Pillow would clip instead of scaling
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            pixels = np.array(image.convert("L" if channels == 1 else "RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "it is no image, or of an unknown kind" if unknown else str(error).strip() or "it is cut off"
        raise DataError(f"{name} cannot be decoded ({reason}). Try replacing or removing it.") from None
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def fit_images(images: Tensor, channels: int, height: int, width: int) -> Tensor:
    """uint8 (N, C, H, W) to (N, channels, height, width): grey by the ITU-R 601 weights, antialiased bilinear resizing.

    Images that fit already are returned as they are. Training and prediction share this function: they cannot differ.
    """
    if images.shape[1] != channels:
        images = _to_grey(images) if channels == 1 else images[:, :1].expand(-1, channels, -1, -1)
    if images.shape[2:] == (height, width):
        return images.contiguous()
    if images.device.type == "cpu" and height * width > 1:  # torch 2.14 fails on one pixel, whose layout is in doubt
        plain = images.contiguous().reshape(-1).view(images.shape)  # likewise: strides of dimensions of one
        return F.interpolate(plain, (height, width), mode="bilinear", antialias=True)  # the pipeline's bytes, faster
    resize = Pipeline([Resize((height, width))])
    pieces = images.split(1024)  # the float copy is four times as large
    return torch.cat([resize.apply(piece, resize.draw(range(len(piece)))) for piece in pieces])


def _to_grey(images: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images[:, :3].float() * weights).sum(1, keepdim=True).round_().clamp_(0, 255).to(torch.uint8)
