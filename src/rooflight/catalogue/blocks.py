"""gpus.toml → its blocks, strictly: an unknown key, a missing one or a wrong type is an error that names block and line.

The file is TOML, but only the part of it that one line holds: `["name"]`, `key = value`, comments. A value is read as
JSON, which for strings, numbers, booleans and lists is the same: five times as fast as tomllib, which a test compares.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rooflight.core.errors import SpecError, nearest

GPUS = Path(__file__).with_name("gpus.toml")

Block = Mapping[str, Any]

REQUIRED: Mapping[str, type] = {
    "driver_names": list,
    "vendor": str,
    "family": str,
    "architecture": str,
    "target": str,
    "units": int,
    "clock_mhz": float,
    "memory_gib": float,
    "form_factor": str,
    "source": str,
}
OPTIONAL: Mapping[str, type] = {
    "aliases": list,
    "rates": str,  # a key of rates.csv
    "peaks": list,  # [engine, dtype, accumulate, TFLOP/s], where the maker gives peaks that no rate explains
    "matrix_clock_mhz": float,  # where the maker counts its matrix peaks with another clock than the vector ones
    "clock_sure": bool,
    "unified_memory": bool,
    "bus_bits": int,
    "gbit_per_pin": float,
    "gb_per_second": float,  # or bus_bits × gbit_per_pin / 8
    "l2_mib": float,
    "last_level_mib": float,
    "tdp_watts": float,
    "devices_per_card": int,
    "cooling": list,
    "psu_watts": float,
    "links": list,
    "launch_usd": float,
    "launch_year": int,
    "conflicts": list,
}
KEYS = {**REQUIRED, **OPTIONAL}


def read_blocks(path: Path = GPUS) -> dict[str, Block]:
    """The blocks by name, in the file's order. Raises SpecError."""
    blocks: dict[str, dict[str, Any]] = {}
    name = None
    for number, line in _lines(path):
        where = f"{path.name}, line {number}"
        if line.startswith("["):
            name = _value(line.strip("[]"), str, where)
            if name in blocks:
                raise SpecError(f"{where}: there is a block {name!r} already.")
            blocks[name] = {}
            continue
        key, equals, text = line.partition(" = ")
        if name is None or not equals:
            raise SpecError(f'{where}: {line!r} is neither ["name"] nor key = value.')
        if key not in KEYS:
            raise SpecError(f"{where}: {name} has no key {key!r}.{nearest(key, KEYS)}")
        if key in blocks[name]:
            raise SpecError(f"{where}: {name} has {key} twice.")
        blocks[name][key] = _value(text, KEYS[key], f"{where}: {key} of {name}")
    for name, block in blocks.items():
        _check(name, block, path.name)
    return blocks


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line and not line.startswith("#"):
            yield number, line


def _value(text: str, kind: type, what: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        raise SpecError(f"{what}: {text} is no value that can be read; a text stands in quotes.") from None
    good = isinstance(value, (int, float) if kind is float else kind)
    if not good or (isinstance(value, bool) and kind is not bool):
        raise SpecError(f"{what} is {text}; it must be of type {kind.__name__}.")
    return value


def _check(name: str, block: Block, file: str) -> None:
    missing = [key for key in REQUIRED if key not in block]
    if missing:
        raise SpecError(f"{file}: {name} lacks {', '.join(missing)}.")
    if not {"rates", "peaks"} & block.keys():
        raise SpecError(f"{file}: {name} needs rates or peaks.")
    if "gb_per_second" not in block and not {"bus_bits", "gbit_per_pin"} <= block.keys():
        raise SpecError(f"{file}: {name} needs gb_per_second, or bus_bits and gbit_per_pin.")
