"""Decoding on an NVIDIA GPU, through torchcodec: JPEG files by nvJPEG, video by NVDEC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import BackendError, DataError

NO_LIBRARY = "Could not load libtorchcodec"  # what torchcodec says where it finds no FFmpeg


def decode_jpegs_on(contents: list[bytes], device: torch.device) -> list[Tensor]:
    """A batch of JPEG files as uint8 (3, H, W) on a CUDA device, by nvJPEG, in one call. Needs no FFmpeg.

    The pixels differ from libjpeg's by some levels where colour was stored at half the size.
    raises  BackendError if torchcodec is missing, or cannot decode there
    """
    if not contents:
        return []
    try:
        return list(_decoders().decode_jpeg(contents, mode="RGB", device=device))
    except RuntimeError as error:
        raise BackendError(f"nvJPEG cannot decode on {device} ({_first_line(error)}).") from None


def jpegs_need() -> None:
    """Raise BackendError where `decode_jpegs_on` cannot be tried: torchcodec is missing, or too old."""
    if not hasattr(_decoders(), "decode_jpeg"):
        raise BackendError(
            "decoding JPEG files on the GPU needs torchcodec 0.16 or later. Try: pip install -U torchcodec"
        )


def read_frames_on(path: Path, frames: NDArray[np.int64], device: torch.device) -> Tensor:
    """The frames of these numbers as uint8 (T, 3, H, W) on a device, by NVDEC on a CUDA one. Needs FFmpeg 4 to 9.

    raises  BackendError if torchcodec or FFmpeg is missing; DataError if the file cannot be decoded
    """
    decoders = _decoders()
    try:
        decoder = decoders.VideoDecoder(str(path), device=device, seek_mode="exact")
        found: Tensor = decoder.get_frames_at(frames.tolist()).data
    except (RuntimeError, ValueError, IndexError) as error:
        if NO_LIBRARY in str(error):
            raise BackendError(
                "torchcodec decodes video with FFmpeg's libraries, and found none of the versions 4 to 9. "
                "Try: apt-get install ffmpeg, or PyAV, whose wheel carries them: pip install 'rooflight[video]'"
            ) from None
        raise DataError(f"{path} cannot be decoded ({_first_line(error)}). Try replacing or removing it.") from None
    return found


def _decoders() -> Any:
    try:
        from torchcodec import decoders
    except ImportError:
        raise BackendError(
            "decoding on the GPU needs torchcodec, which is not installed. "
            "Try: pip install 'rooflight[torchcodec]' (from a checkout: '.[torchcodec]')."
        ) from None
    return decoders


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
