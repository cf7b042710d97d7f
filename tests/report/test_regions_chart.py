"""The picture of the roofline of two axes: its areas cover the plane and agree with the region of every point."""

import re

import pytest

from rooflight.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, log_axes
from rooflight.report.markup import join
from rooflight.report.regions import Place, region
from rooflight.report.regions_chart import _areas, regions_chart, regions_legend

RATES = {"flops": 1e15, "memory": 1e12, "network": 1e11}
RIDGE = (1e3, 1e4)
PLACES = [
    Place(label="1", flops_per_memory_byte=200.0, flops_per_network_byte=None),
    Place(label="64", flops_per_memory_byte=2000.0, flops_per_network_byte=3e3),
]


def inside(x: float, y: float, corners: list[tuple[float, float]]) -> bool:
    """Even-odd rule."""
    hit = False
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            hit = not hit
    return hit


@pytest.mark.parametrize("lowest", [1e1, 1e3])  # the shared line leaves the picture at the left, and at the bottom
def test_every_point_of_the_plane_lies_in_the_area_of_its_region(lowest: float) -> None:
    axes = log_axes([30.0, 3e4], [lowest, 3e5])
    areas = {name: [axes.at(*corner) for corner in corners] for name, corners in _areas(axes, RIDGE).items()}
    for x in (45.0, 300.0, 800.0, 1300.0, 2e4):
        for y in (1.7 * lowest, 5e3, 2e4, 2.1e5):
            at = axes.at(x, y)
            assert [name for name, corners in areas.items() if inside(*at, corners)] == [region(x, y, **RATES)]


def test_every_place_is_a_point_inside_the_frame_that_tells_its_region() -> None:
    chart = str(regions_chart("places", PLACES, **RATES))
    points = [tuple(map(float, pair)) for pair in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', chart)]
    assert len(points) == 2
    assert all(LEFT <= x <= WIDTH - RIGHT and TOP <= y <= HEIGHT - BOTTOM for x, y in points)
    assert points[0][1] == TOP  # it sends nothing
    assert "1 GPUs: 200 FLOPs a byte of memory, nothing sent: memory" in chart
    assert "64 GPUs: 2,000 FLOPs a byte of memory, 3,000 a byte sent: network" in chart


def test_the_legend_says_the_three_rates() -> None:
    told = str(join(regions_legend(**RATES)))
    assert all(rate in told for rate in ("1.00 PFLOP/s", "1.00 TB/s", "100 GB/s"))
