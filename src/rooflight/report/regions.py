"""The roofline of two axes: FLOPs per byte of memory and per byte of network, and which of the three sets the pace.

A step of F FLOPs takes at least F / rate, F / (x · memory) and F / (y · network) seconds; the largest names the region.

source  Checconi et al., "Performance characterization of large-scale workloads by a two-dimensional roofline",
        arXiv 2209.01368
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rooflight.core.units import show_bytes_per_second, show_flops_per_second

COLUMNS, ROWS = 60, 16
MARGIN = 9
SHADES = {"compute": " ", "memory": "·", "network": ":"}
MARKS = "123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One workload on one number of GPUs: FLOPs per byte of one GPU. None: nothing is sent."""

    label: str
    flops_per_memory_byte: float
    flops_per_network_byte: float | None


def region(x: float, y: float, *, flops: float, memory: float, network: float) -> str:
    """What sets the pace at a place: the rates are FLOP/s and bytes per second."""
    needs = {"compute": 1.0 / flops, "memory": 1.0 / (x * memory), "network": 1.0 / (y * network)}
    return max(needs, key=needs.__getitem__)


def draw_regions(places: Sequence[Place], *, flops: float, memory: float, network: float) -> str:
    """The plane in letters, a mark for each place, and a legend. Places that send nothing stand at the upper edge."""
    ridge_x, ridge_y = flops / memory, flops / network
    sent = [place.flops_per_network_byte for place in places if place.flops_per_network_byte]
    left, right = _decades([ridge_x, *(place.flops_per_memory_byte for place in places)])
    bottom, top = _decades([ridge_y, *sent])
    across = [_at(column, COLUMNS, left, right) for column in range(COLUMNS)]
    grid = []
    for row in range(ROWS):
        y = _at(ROWS - 1 - row, ROWS, bottom, top)
        grid.append([SHADES[region(x, y, flops=flops, memory=memory, network=network)] for x in across])
    for mark, place in zip(MARKS, places, strict=False):
        column = _cell(place.flops_per_memory_byte, COLUMNS, left, right)
        row = ROWS - 1 - _cell(place.flops_per_network_byte or top, ROWS, bottom, top)
        grid[row][column] = mark
    ticks = {ROWS - 1 - _cell(value, ROWS, bottom, top): f"{value:.7g}" for value in _powers(bottom, top)}
    lines = ["  FLOP per byte sent"]
    lines += [f"{ticks.get(row, ''):>{MARGIN - 2}} │{''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
    lines.append(" " * (MARGIN - 1) + "└" + "─" * COLUMNS)
    scale = [" "] * (MARGIN + COLUMNS + 6)
    for value in _powers(left, right):
        word = f"{value:g}"
        start = MARGIN + _cell(value, COLUMNS, left, right)
        scale[start : start + len(word)] = word
    lines.append("".join(scale).rstrip() + "  FLOP per byte of memory")
    lines.append(
        f"blank: arithmetic sets the pace ({show_flops_per_second(flops)}); {SHADES['memory']} memory "
        f"({show_bytes_per_second(memory)}); {SHADES['network']} the network ({show_bytes_per_second(network)})"
    )
    lines.append("GPUs: " + ", ".join(f"{mark} {place.label}" for mark, place in zip(MARKS, places, strict=False)))
    return "\n".join(lines)


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The powers of ten around values, one more at either end if a value lies on it."""
    return 10.0 ** math.floor(math.log10(min(values)) - 0.3), 10.0 ** math.ceil(math.log10(max(values)) + 0.3)


def _powers(low: float, high: float) -> list[float]:
    return [10.0**exponent for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _cell(value: float, cells: int, low: float, high: float) -> int:
    share = math.log(value / low) / math.log(high / low)
    return min(cells - 1, max(0, round(share * (cells - 1))))


def _at(cell: int, cells: int, low: float, high: float) -> float:
    return float(low * (high / low) ** (cell / (cells - 1)))
