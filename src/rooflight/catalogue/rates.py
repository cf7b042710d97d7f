"""rates.csv → dense peaks: FMA per clock and unit × units × clock × 2."""

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, cast

from rooflight.catalogue.blocks import Block
from rooflight.core.errors import SpecError, nearest
from rooflight.core.types import Rate

RATES = Path(__file__).with_name("rates.csv")
SURE = ("verified", "table")  # by several published figures; by the vendor's table of instruction throughput

ORDER = ("float64", "float32", "tfloat32", "bfloat16", "float16", "float8", "float6", "float4", "int8", "int4")
# What PyTorch's matrix products sum in: float32, but for these.
SUMS = {"float64": "float64", "int8": "int32", "int4": "int32"}


class Row(NamedTuple):
    """How many multiply-adds one SM, CU or Xe-core issues each clock."""

    engine: Literal["vector", "matrix"]
    dtype: str
    accumulate: str
    fma: float
    status: str
    source: str


@cache
def rows() -> Mapping[str, tuple[Row, ...]]:
    """The table by its first column: the target, and the segment where the maker gives segments different rates."""
    found: dict[str, list[Row]] = {}
    with RATES.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file)
        next(lines)
        for key, engine, dtype, accumulate, fma, status, source in lines:
            kind = cast(Literal["vector", "matrix"], engine)
            found.setdefault(key, []).append(Row(kind, dtype, accumulate, float(fma), status, source))
    return {key: tuple(group) for key, group in found.items()}


def rates_of(name: str, block: Block) -> tuple[Rate, ...]:
    """Every engine, dtype and accumulation of one block; `peaks` win over rates. Raises SpecError for unknown rates."""
    found: dict[tuple[str, str, str], Rate] = {}
    if "rates" in block:
        if block["rates"] not in rows():
            raise SpecError(f"{name}: rates.csv has no rows {block['rates']!r}.{nearest(block['rates'], rows())}")
        for row in rows()[block["rates"]]:
            found[row.engine, row.dtype, row.accumulate] = _rate(row, block)
    for engine, dtype, accumulate, tera in block.get("peaks", ()):
        found[engine, dtype, accumulate] = Rate(
            engine=engine, dtype=dtype, accumulate=accumulate, flops_per_second=tera * 1e12
        )
    return tuple(found.values())


def _rate(row: Row, block: Block) -> Rate:
    clock = block["clock_mhz"]
    # Makers count float64 with the vector clock on the matrix engine too (H100: 66.9 TFLOP/s at 1980 MHz).
    if row.engine == "matrix" and row.dtype != "float64":
        clock = block.get("matrix_clock_mhz", clock)
    notes = [] if row.status in SURE else [f"{row.status}: {row.source}"]
    if not block.get("clock_sure", True):
        notes.append("the clock is not sure")
    return Rate(
        engine=row.engine,
        dtype=row.dtype,
        accumulate=row.accumulate,
        flops_per_second=2 * row.fma * block["units"] * clock * 1e6,
        sure=not notes,
        note="; ".join(notes),
    )


def best(rates: Iterable[Rate]) -> dict[str, float]:
    """FLOP/s by dtype of the fastest engine that sums as PyTorch's products do."""
    fastest: dict[str, float] = {}
    for rate in rates:
        if rate.accumulate == SUMS.get(rate.dtype, "float32"):
            fastest[rate.dtype] = max(rate.flops_per_second, fastest.get(rate.dtype, 0.0))
    return {dtype: fastest[dtype] for dtype in ORDER if dtype in fastest}
