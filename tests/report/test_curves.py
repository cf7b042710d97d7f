"""Axes, ticks and points of the curves."""

import math
import re

import pytest

from rooflight.report.curves import Line, chart, epoch_ticks, value_ticks

from .reading import Element, read


def draw(*ys: float) -> Element:
    line = Line(name="test", style="test", x=tuple(range(1, len(ys) + 1)), y=ys)
    return read(chart("Loss by epoch", [line], show=lambda value: f"{value:.3g}")).all("svg")[0]


@pytest.mark.parametrize(
    ("values", "most", "ticks"),
    [
        ([0.2, 0.75], None, [0.0, 0.2, 0.4, 0.6, 0.8]),
        ([0.79, 0.95], 1.0, [0.75, 0.8, 0.85, 0.9, 0.95]),
        ([0.9, 1.0], 1.0, [0.9, 0.92, 0.94, 0.96, 0.98, 1.0]),
        ([], None, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
    ],
)
def test_ticks_are_round_and_enclose(values: list[float], most: float | None, ticks: list[float]) -> None:
    assert value_ticks(values, most) == pytest.approx(ticks)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5, 1e-9, 2.3, 1e6])
def test_ticks_of_a_single_value_have_a_width(value: float) -> None:
    ticks = value_ticks([value], None)
    assert ticks[0] < ticks[-1]
    assert ticks[0] <= value <= ticks[-1]


@pytest.mark.parametrize("last", [1, 2, 3, 5, 6, 7, 12, 13, 30, 90, 91, 300])
def test_epoch_ticks_are_few_whole_and_end_at_the_last(last: int) -> None:
    ticks = epoch_ticks(1, last)
    assert ticks[0] == 1
    assert ticks[-1] == last
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 7


def test_curve_falls_as_its_values_do() -> None:
    points = draw(1.0, 0.5, 0.25).all("circle")
    heights = [float(point.attributes["cy"] or "nan") for point in points]
    assert heights == sorted(heights)
    assert heights[0] < heights[-1]
    assert [point.all("title")[0].text for point in points][2] == "epoch 3, test: 0.25"


def test_one_epoch_is_a_point_in_the_middle() -> None:
    svg = draw(0.5)
    (point,) = svg.all("circle")
    _, _, width, height = (float(word) for word in (svg.attributes["viewbox"] or "").split())
    assert 0.4 * width < float(point.attributes["cx"] or "nan") < 0.65 * width
    assert 0 < float(point.attributes["cy"] or "nan") < height
    assert "0.5 at epoch 1" in svg.all("desc")[0].text


def test_gap_where_a_value_is_not_finite() -> None:
    svg = draw(1.0, math.nan, 0.5, 0.4)
    (path,) = svg.all("path")
    assert re.sub(r"[\d. ]", "", path.attributes["d"] or "") == "MML"
    assert len(svg.all("circle")) == 3


def test_nothing_finite_is_said() -> None:
    svg = draw(math.nan, math.nan)
    assert svg.all("desc")[0].text == "test: no finite value"
    assert not svg.all("path")


def test_everything_stays_inside_the_picture() -> None:
    svg = draw(*(2.0 / epoch for epoch in range(1, 201)))
    _, _, width, height = (float(word) for word in (svg.attributes["viewbox"] or "").split())
    numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", svg.all("path")[0].attributes["d"] or "")
    assert len(numbers) == 200
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in numbers)
    assert not svg.all("circle")
    assert svg.attributes["role"] == "img"
    assert svg.all("title")[0].text == "Loss by epoch"
