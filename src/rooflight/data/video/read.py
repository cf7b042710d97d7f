"""Video files by PyAV, whose wheel carries FFmpeg: an index of when each frame appears, and clips of chosen frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import BackendError, DataError


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """When each frame of a file appears, in the order of showing. Made from its packets, without decoding."""

    path: Path
    stamps: NDArray[np.int64]  # presentation time of each frame, in ticks, rising
    tick_seconds: float

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def times(self) -> NDArray[np.float64]:
        """Seconds after the first frame."""
        return np.asarray((self.stamps - self.stamps[0]) * self.tick_seconds)


def index_video(path: Path) -> VideoIndex:
    """raises DataError if the file is no video, or has no frame; BackendError without PyAV"""
    with _opened(path) as (container, stream):
        stamps = sorted({packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size})
        if not stamps:
            raise DataError(f"{path} has no video frame. Try replacing or removing it.")
        return VideoIndex(path, np.array(stamps, dtype=np.int64), float(stream.time_base))


def read_frames(index: VideoIndex, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The frames of these numbers, in this order, as uint8 (T, H, W, 3). A number may come twice.

    Decoding starts at the key frame before the first, and ends with the last: a clip from the middle costs no more.
    raises  DataError for a frame that the file does not give, as when it is cut off
    """
    if frames.min() < 0 or frames.max() >= len(index):
        raise DataError(
            f"{index.path} has {len(index)} frames, numbers {frames.min()} to {frames.max()} were asked for."
        )
    wanted = index.stamps[frames]
    found: dict[int, NDArray[np.uint8]] = {}
    with _opened(index.path) as (container, stream):
        stream.thread_type = "SLICE"  # threads by frame would hold several frames back, and workers use the cores
        container.seek(int(wanted.min()), stream=stream, backward=True)
        last, missing = int(wanted.max()), set(wanted.tolist())
        for frame in container.decode(stream):
            if frame.pts in missing:
                found[frame.pts] = frame.to_ndarray(format="rgb24")
                missing.remove(frame.pts)
            if not missing or (frame.pts is not None and frame.pts > last):
                break
    if missing:
        place = int(np.searchsorted(index.stamps, min(missing)))
        raise DataError(f"{index.path} cannot be decoded at frame {place}. Try replacing or removing it.")
    if len({pixels.shape for pixels in found.values()}) > 1:
        raise DataError(f"{index.path} changes its size on the way. Try cutting it there.")
    return np.stack([found[stamp] for stamp in wanted.tolist()])


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream; what FFmpeg raises becomes one sentence."""
    try:
        import av
    except ImportError:
        raise BackendError(
            "reading video files needs PyAV, which is not installed. "
            "Try: pip install 'rooflight[video]' (from a checkout: '.[video]')."
        ) from None
    if not path.is_file():
        raise DataError(f"{path}: no such video file.")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} has no video stream. Try replacing or removing it.")
            yield container, container.streams.video[0]
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path} cannot be decoded ({reason}). Try replacing or removing it.") from None
