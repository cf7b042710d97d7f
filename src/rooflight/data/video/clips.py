"""Clips as samples of a loader, and one draw for all frames of a clip."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.core.runs import BadSample
from rooflight.data.jpeg import Empty
from rooflight.data.loader.bad import BadSamples
from rooflight.data.loader.batch import Images, Transform
from rooflight.data.video.read import VideoIndex, index_video, read_frames
from rooflight.data.video.sampling import by_stride, by_time, clip_starts


@dataclass(frozen=True, slots=True)
class Clip:
    """A sample: some frames of a video."""

    video: VideoIndex
    frames: NDArray[np.int64]


class VideoClips:
    """The clips of several videos, one behind the other."""

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[int],
        *,
        count: int,
        stride: int = 1,
        fps: float | None = None,
        max_bad: float = 0.05,
        notify: Callable[[str], None] = lambda line: None,
    ) -> None:
        """count: frames in a clip, every stride-th of the video; with `fps`, those on the screen at that rate instead.

        max_bad  share of the videos that may be broken: they are left out, and named in `bad`
        raises   DataError if more are, or no video is long enough for a clip
        """
        bad = BadSamples(len(paths), max_bad)
        with ThreadPoolExecutor() as pool:
            indices = list(pool.map(_index_or_error, paths))
        clips: list[tuple[Clip, int]] = []
        for number, (index, label) in enumerate(zip(indices, labels, strict=True)):
            if isinstance(index, DataError):
                bad.add(number, str(paths[number]), index)
                continue
            frames = _frames_of(index, count=count, stride=stride, fps=fps)
            if not frames:
                notify(f"{index.path} has {len(index)} frames, too few for a clip, and is left out")
            clips += [(Clip(index, numbers), label) for numbers in frames]
        if not clips:
            raise DataError(f"none of the {len(paths)} videos is long enough for a clip of {count} frames.")
        self.bad: tuple[BadSample, ...] = bad.list()
        self.clips = tuple(clip for clip, _ in clips)
        self.labels: Tensor = torch.tensor([label for _, label in clips], dtype=torch.int64)
        self.shards = (len(clips),)

    def __len__(self) -> int:
        return len(self.clips)

    def name(self, sample: int) -> str:
        clip = self.clips[sample]
        return f"{clip.video.path}, frames {clip.frames[0]} to {clip.frames[-1]}"

    def read(self, sample: int) -> Clip:
        """The clip's place: FFmpeg reads as it decodes."""
        return self.clips[sample]

    def decode(self, content: Clip, sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        return read_frames(content.video, content.frames)


class PerClip:
    """A transform of images for clips (N, C, T, H, W): what is drawn for a clip holds for all its frames."""

    def __init__(self, transform: Transform, *, count: int) -> None:
        """count: frames in a clip, T."""
        self.transform, self.count = transform, count

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Any:
        """A draw depends on the sample's number alone, so a number that is repeated is drawn the same."""
        return self.transform.draw(np.repeat(ids, self.count), epoch=epoch, seed=seed)

    def apply(self, images: Images, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
        """uint8 (N, C, T, H, W), or N of (C, T, H, W) in several sizes, to the transform's (N, C, T, H', W')."""
        if isinstance(images, Tensor):
            frames: Images = images.transpose(1, 2).flatten(0, 1)
        else:
            frames = [frame for clip in images for frame in clip.unbind(1)]
        every = None if sizes is None else sizes.repeat_interleave(self.count, dim=0)
        done = self.transform.apply(frames, draws, sizes=every)
        clips: Tensor = done.unflatten(0, (-1, self.count))
        return clips.transpose(1, 2)


def _index_or_error(path: Path) -> VideoIndex | DataError:
    try:
        return index_video(path)
    except DataError as error:
        return error


def _frames_of(index: VideoIndex, *, count: int, stride: int, fps: float | None) -> list[NDArray[np.int64]]:
    """The frame numbers of each clip of a video."""
    if fps is None:
        return [
            by_stride(int(start), count=count, stride=stride)
            for start in clip_starts(len(index), count=count, stride=stride)
        ]
    times = index.times
    starts = np.arange(0, times[-1] - (count - 1) / fps + 1e-6, count / fps)
    return [by_time(times, float(start), count=count, fps=fps) for start in starts]
