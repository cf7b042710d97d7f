"""The roofline of two axes: regions by hand, and a place in each."""

import pytest

from rooflight.report.regions import Place, draw_regions, region

RATES = {"flops": 1e15, "memory": 1e12, "network": 1e11}  # ridges: 1,000 FLOP/B of memory, 10,000 of network


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [
        (1e4, 1e5, "compute"),
        (1e2, 1e5, "memory"),  # 10 s of memory for 1e15 FLOPs, 0.1 s of network
        (1e4, 1e2, "network"),
        (1e2, 1e2, "network"),  # 10 s of memory, 100 s of network
        (1e1, 1e3, "memory"),
    ],
)
def test_the_slowest_of_three_names_the_region(x: float, y: float, found: str) -> None:
    assert region(x, y, **RATES) == found


def test_every_place_has_its_mark_and_its_label() -> None:
    places = [
        Place(label="1", flops_per_memory_byte=200.0, flops_per_network_byte=None),
        Place(label="64", flops_per_memory_byte=2000.0, flops_per_network_byte=3e3),
    ]
    lines = draw_regions(places, **RATES).splitlines()
    assert lines[-1] == "GPUs: 1 1, 2 64"
    assert "1.00 PFLOP/s" in lines[-2]
    plane = lines[1:17]
    assert [row for row, line in enumerate(plane) if "1" in line.partition("│")[2]] == [
        0
    ]  # nothing is sent: at the top
    (row,) = [row for row, line in enumerate(plane) if "2" in line.partition("│")[2]]
    assert "::" in plane[row]  # the network's region
    assert {"·", ":", " "} <= set("".join(plane))
