"""Which frames make a clip, by hand."""

import numpy as np
import pytest

from rooflight.core.errors import ConfigError
from rooflight.data.video.sampling import by_stride, by_time, clip_starts


def test_by_stride() -> None:
    assert by_stride(3, count=4, stride=5).tolist() == [3, 8, 13, 18]


def test_by_time_takes_what_is_on_the_screen() -> None:
    times = np.arange(10) / 30  # 30 frames per second
    assert by_time(times, 0, count=4, fps=10).tolist() == [0, 3, 6, 9]
    assert by_time(times, 0.05, count=2, fps=30).tolist() == [1, 2]
    assert by_time(times, 0, count=3, fps=60).tolist() == [0, 0, 1]  # faster than the video: a frame stays


def test_by_time_follows_a_varying_rate() -> None:
    times = [0.0, 0.1, 0.5, 0.6]
    assert by_time(times, 0, count=7, fps=10).tolist() == [0, 1, 1, 1, 1, 2, 3]
    assert by_time(times, 0.7, count=2, fps=10).tolist() == [3, 3]  # the last frame stays


def test_by_time_forgives_rounding() -> None:
    times = np.round(np.arange(300) * 1001 / 30000, 6)  # as a file of 29.97 frames per second counts
    assert by_time(times, 0, count=300, fps=30000 / 1001).tolist() == list(range(300))


def test_clips_stand_behind_each_other_and_are_whole() -> None:
    assert clip_starts(25, count=4, stride=2).tolist() == [0, 8, 16]
    assert clip_starts(7, count=4, stride=2).tolist() == [0]
    assert clip_starts(6, count=4, stride=2).tolist() == []


def test_frames_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="starts at frame -1"):
        by_stride(-1, count=2, stride=1)
    with pytest.raises(ConfigError, match="without frames"):
        by_time([], 0, count=1, fps=1)
    for times, start in (([0.0, float("nan")], 0.0), ([0.0], float("nan"))):
        with pytest.raises(ConfigError, match="finite"):
            by_time(times, start, count=1, fps=1)


@pytest.mark.parametrize("asked", [{"count": 0, "stride": 1}, {"count": 1, "stride": 0}], ids=str)
def test_a_clip_of_nothing_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="1 or more"):
        by_stride(0, **asked)
    with pytest.raises(ConfigError, match="above 0"):
        by_time([0.0], 0, count=1, fps=0)
