"""gpus.toml → its blocks, strictly: an unknown key, a missing one or a wrong type is an error that names the block.

The file is TOML, but only the part of it that one line holds: `["name"]`, `key = value`, comments. A value is read as
JSON, which for strings, numbers, booleans and lists is the same: five times as fast as tomllib, which a test compares.
"""

import json
from collections.abc import Mapping
from functools import cache
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


def read_blocks(path: Path = GPUS) -> Mapping[str, Block]:
    """The blocks by name, in the file's order. Raises SpecError."""
    blocks: dict[str, dict[str, Any]] = {}
    name = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith("["):
                name = _header(line, blocks)
                blocks[name] = {}
            else:
                key, value = _pair(line, name)
                if key in blocks[name]:
                    raise ValueError(f"{name} has {key} twice.")
                blocks[name][key] = value
        except ValueError as error:
            raise SpecError(f"{path.name}, line {number}: {error}") from None
    for name, block in blocks.items():
        _check(name, block, path.name)
    return blocks


def _header(line: str, blocks: Mapping[str, Block]) -> str:
    name = _value(line.strip("[]"), str)
    if name in blocks:
        raise ValueError(f"there is a block {name!r} already.")
    return str(name)


def _pair(line: str, name: str) -> tuple[str, Any]:
    key, equals, text = line.partition(" = ")
    if not name or not equals:
        raise ValueError(f'{line!r} is neither ["name"] nor key = value.')
    if key not in KEYS:
        raise ValueError(f"{name} has no key {key!r}.{nearest(key, KEYS)}")
    try:
        return key, _value(text, KEYS[key])
    except ValueError as error:
        raise ValueError(f"{key} of {name}: {error}") from None


@cache  # most values stand in many blocks
def _value(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        raise ValueError(f"{text} is no value that can be read; a text stands in quotes.") from None
    good = isinstance(value, (int, float) if kind is float else kind)
    if not good or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{text} must be of type {kind.__name__}.")
    return tuple(value) if kind is list else value


def _check(name: str, block: Block, file: str) -> None:
    missing = [key for key in REQUIRED if key not in block]
    if missing:
        raise SpecError(f"{file}: {name} lacks {', '.join(missing)}.")
    if not {"rates", "peaks"} & block.keys():
        raise SpecError(f"{file}: {name} needs rates or peaks.")
    if "gb_per_second" not in block and not {"bus_bits", "gbit_per_pin"} <= block.keys():
        raise SpecError(f"{file}: {name} needs gb_per_second, or bus_bits and gbit_per_pin.")
