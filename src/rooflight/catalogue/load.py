"""The catalogue: gpus.toml, rates.csv, targets.csv and links.csv joined into GpuSpecs."""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from rooflight.catalogue.blocks import Block, read_blocks
from rooflight.catalogue.links import links
from rooflight.catalogue.rates import best, rates_of
from rooflight.core.errors import SpecError, nearest
from rooflight.core.types import GpuSpec, Link

TARGETS = Path(__file__).with_name("targets.csv")
MIB, GIB = 2**20, 2**30


class Target(NamedTuple):
    """What all devices of one target share."""

    matrix_engine: str
    last_support: Mapping[str, str]
    source: str


@cache
def catalogue() -> tuple[GpuSpec, ...]:
    """Every entry, in the file's order. Raises SpecError if a data file is damaged."""
    return tuple(make_spec(name, block) for name, block in _blocks().items())


@cache
def aliases() -> Mapping[str, tuple[str, ...]]:
    """Names that people use beside the entry's own, by entry."""
    return {name: block.get("aliases", ()) for name, block in _blocks().items()}


@cache
def targets() -> Mapping[str, Target]:
    """targets.csv by its first column: a block's `rates`, or else its `target`."""
    found = {}
    with TARGETS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            support = {key[5:]: row[key] for key in row if key.startswith("last_") and row[key]}
            found[row["target"]] = Target(row["matrix_engine"], support, row["source"])
    return found


def make_spec(name: str, block: Block) -> GpuSpec:
    """One block as a GpuSpec. Raises SpecError for rates, a target or a link that no table has."""
    rates = rates_of(name, block)
    target = _target(name, block)
    per_second = block.get("gb_per_second") or block["bus_bits"] * block["gbit_per_pin"] / 8
    return GpuSpec(
        name=name,
        driver_names=block["driver_names"],
        memory_bytes=round(block["memory_gib"] * GIB),
        bytes_per_second=per_second * 1e9,
        flops_per_second=best(rates),
        tdp_watts=block.get("tdp_watts"),
        source=block["source"],
        vendor=block["vendor"],
        family=block["family"],
        architecture=block["architecture"],
        target=block["target"],
        units=block["units"],
        clock_hz=block["clock_mhz"] * 1e6,
        l2_bytes=_mebibytes(block, "l2_mib"),
        last_level_bytes=_mebibytes(block, "last_level_mib"),
        matrix_engine=target.matrix_engine,
        rates=rates,
        form_factor=block["form_factor"],
        cooling=block.get("cooling", ()),
        psu_watts=block.get("psu_watts"),
        links=tuple(_link(name, link) for link in block.get("links", ())),
        unified_memory=block.get("unified_memory", False),
        devices_per_card=block.get("devices_per_card", 1),
        launch_usd=block.get("launch_usd"),
        launch_year=block.get("launch_year"),
        last_support=target.last_support,
        conflicts=block.get("conflicts", ()),
    )


@cache
def _blocks() -> Mapping[str, Block]:
    return read_blocks()


def _target(name: str, block: Block) -> Target:
    known = targets()
    found = known.get(block.get("rates", "")) or known.get(block["target"])
    if found is None:
        raise SpecError(f"{name}: targets.csv has no row {block['target']!r}.{nearest(block['target'], known)}")
    return found


def _mebibytes(block: Block, key: str) -> int | None:
    return round(block[key] * MIB) if key in block else None


def _link(name: str, link: str) -> Link:
    if link not in links():
        raise SpecError(f"{name}: links.csv has no link {link!r}.{nearest(link, links())}")
    return links()[link]
