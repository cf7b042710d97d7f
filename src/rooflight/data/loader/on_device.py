"""JPEG files that the device decodes: workers read the bytes, nvJPEG makes the pixels on the loader's side stream."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.data.decode import fit_images
from rooflight.data.gpu_decode import decode_jpegs_on, jpegs_need
from rooflight.data.jpeg import Empty, is_whole_plain_jpeg
from rooflight.data.loader.shards import Shards
from rooflight.data.loader.sources import ImageFiles, Source
from rooflight.data.pipeline.pipeline import stack

DecodeOn = Literal["workers", "gpu"]
File = bytes | NDArray[Any]  # a JPEG file for the device, or what a worker decoded in its place


def check_decode(decode: DecodeOn, source: Source) -> None:
    """Raise ConfigError for a source that holds no image files, BackendError without torchcodec."""
    if decode == "gpu":
        if not isinstance(source, ImageFiles | Shards):
            raise ConfigError(
                f"{type(source).__name__} holds no image files for a GPU to decode. Try decode='workers'."
            )
        jpegs_need()


def file_for_device(source: Source, sample: int, empty: Empty) -> File:
    """The bytes of a whole JPEG file that needs nothing but decoding; every other file, decoded here.

    raises  DataError or OSError for a file that cannot be read, or that a worker cannot decode
    """
    content = source.read(sample)
    return content if is_whole_plain_jpeg(content) else source.decode(content, sample, empty)


def decode_files(files: Sequence[File], source: Source, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """One tensor uint8 (n, C, H, W) on the device, and int64 (n, 2) sizes on the host where they differ.

    All JPEG files in one call. raises BackendError where one of them cannot be decoded there
    """
    assert isinstance(source, ImageFiles | Shards)
    fit = source.fit if isinstance(source, ImageFiles) else None
    decoded = iter(decode_jpegs_on([file for file in files if isinstance(file, bytes)], device))
    images = []
    for file in files:
        if isinstance(file, bytes):
            image = next(decoded)
            size = fit or (image.shape[1], image.shape[2])
            image = fit_images(image[None], source.channels, *size)[0]
        else:
            image = torch.from_numpy(np.array(file)).movedim(-1, 0).to(device, non_blocking=True)
        images.append(image)
    batch, sizes = stack(images)
    same = bool((sizes == sizes[0]).all())
    return batch, None if same else torch.from_numpy(sizes)
