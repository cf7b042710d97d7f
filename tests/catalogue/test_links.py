"""Links and what collectives reach over them."""

import pytest

from rooflight.catalogue.links import collectives, links, measured
from rooflight.catalogue.load import catalogue

BY_NAME = {spec.name: spec for spec in catalogue()}


def test_links_are_plausible() -> None:
    for link in links().values():
        assert 1e10 <= link.bytes_per_second <= 1e12
        assert link.devices is None or 2 <= link.devices <= 72
        assert link.source
    assert links()["NVLink 4, 18 links"].bytes_per_second == 18 * 25e9
    assert links()["PCIe 5.0 x16"].bytes_per_second == pytest.approx(32e9 * 16 * 128 / 130 / 8, rel=0.001)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("H100 SXM5 80GB", ["NVLink 4, 18 links", "PCIe 5.0 x16"]),
        ("GeForce RTX 4090", ["PCIe 4.0 x16"]),
        ("Instinct MI300X 192GB", ["xGMI of MI300X", "PCIe 5.0 x16"]),
        ("Jetson AGX Orin 64GB", []),
    ],
)
def test_an_entry_has_its_links(name: str, expected: list[str]) -> None:
    assert [link.name for link in BY_NAME[name].links] == expected


def test_collectives_are_of_known_gpus_and_below_the_wire() -> None:
    for each in collectives():
        wire = max(link.bytes_per_second for link in BY_NAME[each.gpu].links)
        assert (each.seconds is None) != (each.bus_bytes_per_second is None)
        assert each.source
        # NVSwitch adds on its way (NVLS) for an all-reduce of 8: more than the wire carries otherwise.
        most = 1.1 if each.collective == "all_reduce" and each.gpus == 8 else 1.0
        assert each.bus_bytes_per_second is None or each.bus_bytes_per_second <= most * wire


def test_what_was_measured_is_found() -> None:
    large, small = measured("H100 SXM5 80GB", "all_reduce", 8)
    assert large.bus_bytes_per_second == 445e9
    assert small.seconds == pytest.approx(15.6e-6)
    assert measured("H100 SXM5 80GB", "all_reduce", 3) == ()
    assert measured("GeForce RTX 4090", "all_reduce", 2) == ()
