"""A driver's name finds its entry, and no other name finds one."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from rooflight.catalogue.load import catalogue
from rooflight.catalogue.resolve import candidates, normal, resolve
from rooflight.core.types import GpuSpec

GIB = 2**30
# Jetson Orin Nano 8GB (also as Super) and Orin NX 8GB: one name, one memory size, one number of SMs.
ALIKE = {"Jetson Orin Nano 8GB", "Jetson Orin Nano Super 8GB", "Jetson Orin NX 8GB"}

with Path(__file__).with_name("driver_strings.csv").open(encoding="utf-8", newline="") as file:
    SEEN = list(csv.DictReader(file))


@pytest.mark.parametrize("row", SEEN, ids=lambda row: f"{row['driver_name']} {row['memory_gib']} {row['units']}")
def test_a_name_that_was_seen(row: dict[str, str]) -> None:
    memory = round(float(row["memory_gib"]) * GIB) if row["memory_gib"] else None
    units = int(row["units"]) if row["units"] else None
    found = resolve(row["driver_name"], memory_bytes=memory, units=units)
    assert (found.name if found else "") == row["gpu"]


def test_enough_were_seen() -> None:
    assert sum(bool(row["gpu"]) for row in SEEN) >= 100
    assert all(row["seen"] for row in SEEN)


@pytest.mark.parametrize("spec", catalogue(), ids=lambda spec: spec.name)
def test_every_driver_name_finds_its_entry(spec: GpuSpec) -> None:
    for name in spec.driver_names:
        found = resolve(name, memory_bytes=spec.memory_bytes, units=spec.units)
        if spec.name in ALIKE and name.startswith("Orin"):
            assert found is None
            assert {each.name for each in candidates(name, memory_bytes=spec.memory_bytes)} == ALIKE
        else:
            assert found is spec


def test_entries_of_one_name_differ_in_memory_or_units() -> None:
    by_name: dict[str, list[GpuSpec]] = defaultdict(list)
    for spec in catalogue():
        for name in spec.driver_names:
            by_name[normal(name)].append(spec)
    for name, specs in by_name.items():
        told = {(spec.memory_bytes, spec.units) for spec in specs}
        alike = {spec.name for spec in specs} & ALIKE
        assert len(told) == len(specs) - max(0, len(alike) - 1), name


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB",
        "NVIDIA H100",
        "H100",
        "GeForce RTX 9090",
        "NVIDIA GeForce RTX 409",
        "NVIDIA GeForce RTX 40900",
        "NVIDIA GeForce RTX 4090 Ti",
        "RTX 4090",
        "NVIDIA A100-SXM4-80GB MIG",
        "NVIDIA A100-SXM4-80GB-MIG 1g.5gb",
        "GRID A100-10C",
        "AMD GPU 0x744c (rev c9)",
        "AMD GPU 0xffff (rev c8)",
        "AMD Radeon Graphics",
        "Intel(R) Iris(R) Xe Graphics",
        "NVIDIA Graphics Device",
        "Apple M9",
        "",
        " ",
    ],
)
def test_an_unknown_name_is_no_card(name: str) -> None:
    assert resolve(name) is None
    assert candidates(name) == ()


@pytest.mark.parametrize(
    "name", ["nvidia  geforce rtx 4090", " NVIDIA GeForce RTX 4090\n", "NVIDIA(R) GeForce(TM) RTX 4090"]
)
def test_case_blanks_and_marks_do_not_count(name: str) -> None:
    found = resolve(name)
    assert found is not None
    assert found.name == "GeForce RTX 4090"


def test_an_amd_card_by_its_pci_id() -> None:
    found = resolve("AMD GPU 0x744c (rev c8)")
    assert found is not None
    assert found.name == "Radeon RX 7900 XTX"


@pytest.mark.parametrize(
    ("reported_mib", "expected"),
    [(16380, "GeForce RTX 4060 Ti 16GB"), (8188, "GeForce RTX 4060 Ti 8GB"), (12282, None), (None, None)],
)
def test_memory_tells_cards_of_one_name_apart(reported_mib: int | None, expected: str | None) -> None:
    memory = None if reported_mib is None else reported_mib * 2**20
    found = resolve("NVIDIA GeForce RTX 4060 Ti", memory_bytes=memory)
    assert (found.name if found else None) == expected


def test_a_card_with_other_memory_than_it_was_sold_with_is_unknown() -> None:
    assert resolve("NVIDIA GeForce RTX 2080 Ti", memory_bytes=22 * GIB) is None
    assert [each.name for each in candidates("NVIDIA GeForce RTX 2080 Ti")] == ["GeForce RTX 2080 Ti"]


def test_the_memory_of_the_machine_does_not_count() -> None:
    found = resolve("AMD Radeon 780M Graphics", memory_bytes=8 * GIB)
    assert found is not None
    assert found.unified_memory


def test_a_mig_instance_is_its_part_of_the_card() -> None:
    card = resolve("NVIDIA A100-SXM4-40GB")
    part = resolve("NVIDIA A100-SXM4-40GB MIG 3g.20gb", memory_bytes=round(19.5 * GIB))
    assert card is not None
    assert part is not None
    assert part.name == "A100 SXM4 40GB MIG 3g.20gb"
    assert part.units == 42  # 3 slices of 14 SMs
    assert part.memory_bytes == round(19.5 * GIB)
    assert part.bytes_per_second == card.bytes_per_second / 2
    assert part.flops_per_second["bfloat16"] == pytest.approx(card.flops_per_second["bfloat16"] * 42 / 108)
    assert not any(rate.sure for rate in part.rates)
    assert [link.name for link in part.links] == ["PCIe 4.0 x16"]


def test_the_driver_knows_the_sms_of_an_instance() -> None:
    part = resolve("NVIDIA H100 80GB HBM3 MIG 3g.40gb", units=60)
    assert part is not None
    assert part.units == 60


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA B200 MIG 1g.23gb",
        "NVIDIA GeForce RTX 4090 MIG 1g.5gb",
        "Foo MIG 1g.5gb",
        "NVIDIA A30 MIG 9g.99gb",
        "NVIDIA H100 80GB HBM3 MIG 1g.500gb",
        "NVIDIA H100 80GB HBM3 MIG 0g.0gb",
        "NVIDIA H100 80GB HBM3 MIG 1g.0gb",
        "NVIDIA H100 80GB HBM3 MIG 7g.10gb",
        "NVIDIA H100 80GB HBM3 MIG 3g.20gb",
        "NVIDIA H100 80GB HBM3 MIG 5g.40gb",
        "NVIDIA A100-SXM4-40GB MIG 1g.20gb",
        "NVIDIA A30 MIG 3g.12gb",
        "NVIDIA H100 PCIe MIG 1g.10gb",  # its SMs are not known
    ],
)
def test_an_instance_that_cannot_be_is_unknown(name: str) -> None:
    assert resolve(name) is None


@pytest.mark.parametrize(
    ("name", "units", "eighths"),
    [
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 14, 1),
        ("NVIDIA A100-SXM4-40GB MIG 1g.10gb", 14, 2),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb+me", 14, 1),
        ("NVIDIA A100-SXM4-80GB MIG 4g.40gb", 56, 4),
        ("NVIDIA A100-SXM4-80GB MIG 7g.80gb", 98, 8),
        ("NVIDIA A30 MIG 2g.12gb", 28, 4),
        ("NVIDIA A30 MIG 4g.24gb", 56, 8),
        ("NVIDIA H100 80GB HBM3 MIG 2g.20gb", 32, 2),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", 60, 4),
        ("NVIDIA H100 80GB HBM3 MIG 7g.80gb", 132, 8),
        ("NVIDIA H200 MIG 1g.18gb", 16, 1),
        ("NVIDIA H200 MIG 3g.71gb", 60, 4),
    ],
)
def test_the_profiles_of_the_user_guide(name: str, units: int, eighths: int) -> None:
    part, card = resolve(name), resolve(name.partition(" MIG ")[0])
    assert part is not None
    assert card is not None
    assert part.units == units
    assert part.bytes_per_second == card.bytes_per_second * eighths / 8


@pytest.mark.parametrize(("gib", "known"), [(9.75, True), (10, True), (5, False), (79, False)])
def test_the_memory_of_an_instance_must_be_its_profiles(gib: float, known: bool) -> None:
    part = resolve("NVIDIA H100 80GB HBM3 MIG 1g.10gb", memory_bytes=round(gib * GIB), units=16)
    assert (part is not None) == known
