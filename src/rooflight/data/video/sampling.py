"""Which frames make a clip: by stride in frames, or by time. Both come down to frame numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError

Frames = NDArray[np.int64]


def by_stride(start: int, *, count: int, stride: int) -> Frames:
    """Frame numbers start, start + stride, …: `count` of them."""
    _at_least_one(count=count, stride=stride)
    if start < 0:
        raise ConfigError(f"a clip that starts at frame {start}: frames are counted from 0.")
    return start + stride * np.arange(count, dtype=np.int64)


def by_time(times: Sequence[float] | NDArray[np.float64], start: float, *, count: int, fps: float) -> Frames:
    """The frames that are on the screen at start, start + 1/fps, …, whatever the rate of the video, even a varying one.

    times  seconds at which each frame appears, rising
    """
    _at_least_one(count=count)
    if not 0 < fps < float("inf"):
        raise ConfigError(f"{fps:g} frames per second: it must be above 0.")
    asked = start + np.arange(count) / fps
    if len(times) == 0:
        raise ConfigError("a video without frames has no clip.")
    if not np.isfinite(start) or not np.isfinite(times).all():
        raise ConfigError("the start of a clip and the times of its frames are finite seconds; one of these is not.")
    # Half a microsecond forgives the rounding of 1/fps: containers count time in steps of 10 microseconds and more.
    shown = np.searchsorted(np.asarray(times), asked + 5e-7, side="right") - 1
    return np.clip(shown, 0, len(times) - 1).astype(np.int64)


def clip_starts(frames: int, *, count: int, stride: int) -> Frames:
    """Where the clips of a video begin: one behind the other, each whole. None in a video that is shorter than one."""
    _at_least_one(count=count, stride=stride)
    span = (count - 1) * stride + 1
    return np.arange(0, frames - span + 1, count * stride, dtype=np.int64)


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"a clip of {name} {number}: it must be 1 or more.")
