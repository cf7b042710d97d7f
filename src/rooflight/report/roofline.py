"""A roofline in the letters of a terminal: FLOP/s over arithmetic intensity, both logarithmic."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rooflight.core.tables import display_width
from rooflight.core.units import show_bytes_per_second, show_flops_per_second

WIDTH, HEIGHT = 72, 16  # letters, axes included
MARGIN = 9  # letters left of the picture: the numbers of the vertical axis
MARKS = "abcdefghijklmnopqrstuvwxyz"
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a braille letter: [column][row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """One level line of the picture."""

    label: str
    flops_per_second: float
    peak_flops_per_second: float | None = None


def draw_roofline(bytes_per_second: float, ceilings: Sequence[Ceiling], *, ascii_only: bool = False) -> str:
    """The measured roof of each ceiling, a mark at its right end, and its dense peak as a dotted line; then a legend.

    bytes_per_second  of the memory: the slope that all ceilings share
    ascii_only        for a terminal that knows no braille
    """
    ridges = [ceiling.flops_per_second / bytes_per_second for ceiling in ceilings]
    left, right = _decades(min(ridges) / 20, max(ridges) * 20)
    levels = [rate for each in ceilings for rate in (each.flops_per_second, each.peak_flops_per_second) if rate]
    bottom, top = _decades(left * bytes_per_second, max(levels) * 1.1)
    canvas = _Canvas(columns=WIDTH - MARGIN - len(ceilings) - 1, rows=HEIGHT, ascii_only=ascii_only)

    def place(x: float, y: float) -> tuple[float, float]:
        return _part(x, left, right), _part(y, bottom, top)

    canvas.line(place(left, left * bytes_per_second), place(max(ridges), max(ridges) * bytes_per_second), every=1)
    for ceiling, ridge in zip(ceilings, ridges, strict=True):
        rate, peak = ceiling.flops_per_second, ceiling.peak_flops_per_second
        canvas.line(place(ridge, rate), place(right, rate), every=1)
        if peak is not None:
            canvas.line(place(peak / bytes_per_second, peak), place(right, peak), every=4)
    marks: dict[int, str] = {}
    for letter, ceiling in zip(MARKS, ceilings, strict=False):
        row = canvas.row(place(right, ceiling.flops_per_second)[1])
        marks[row] = marks.get(row, "") + letter
    picture = _framed(canvas, marks, (left, right), (bottom, top))
    return "\n".join([*picture, "", *_legend(bytes_per_second, ceilings, ridges)])


class _Canvas:
    """Dots on a grid: 2 by 4 in each letter in braille, one a letter in ASCII."""

    def __init__(self, *, columns: int, rows: int, ascii_only: bool) -> None:
        self.columns, self.rows = columns, rows
        self.across, self.down = (1, 1) if ascii_only else (2, 4)
        self.ascii_only = ascii_only
        self.dots: dict[tuple[int, int], bool] = {}  # (x, y) from the top left → solid

    def line(self, start: tuple[float, float], end: tuple[float, float], *, every: int) -> None:
        """A line between two points in 0..1 from the bottom left; of its dots each n-th one is drawn."""
        (x0, y0), (x1, y1) = self._dot(start), self._dot(end)
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(0, steps + 1, every):
            x, y = round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)
            self.dots[x, y] = self.dots.get((x, y), False) or every == 1

    def row(self, height: float) -> int:
        """The row of letters that a height in 0..1 falls into."""
        return self._dot((0, height))[1] // self.down

    def lines(self) -> list[str]:
        """The picture."""
        return ["".join(self._letter(column, row) for column in range(self.columns)) for row in range(self.rows)]

    def _dot(self, point: tuple[float, float]) -> tuple[int, int]:
        x, y = point
        return round(x * (self.columns * self.across - 1)), round((1 - y) * (self.rows * self.down - 1))

    def _letter(self, column: int, row: int) -> str:
        if self.ascii_only:
            solid = self.dots.get((column, row))
            return " " if solid is None else "*" if solid else "."
        bits = sum(DOTS[x][y] for x in range(2) for y in range(4) if (2 * column + x, 4 * row + y) in self.dots)
        return chr(0x2800 + bits) if bits else " "


def _framed(
    canvas: _Canvas, marks: dict[int, str], horizontal: tuple[float, float], vertical: tuple[float, float]
) -> list[str]:
    """The picture with its axes: FLOP/s at each power of ten on the left, FLOP/B below."""
    corner, side, floor = ("+", "|", "-") if canvas.ascii_only else ("└", "│", "─")
    ticks = {canvas.row(_part(value, *vertical)): show_flops_per_second(value) for value in _powers(*vertical)}
    lines = []
    for number, line in enumerate(canvas.lines()):
        tick = ticks.get(number, "").removesuffix("FLOP/s").rstrip().rjust(MARGIN - 2)
        lines.append(f"{tick} {side}{line} {marks.get(number, '')}".rstrip())
    lines.append(" " * (MARGIN - 1) + corner + floor * canvas.columns)
    scale = [" "] * (canvas.columns + MARGIN)
    for value in _powers(*horizontal):
        word = f"{value:g}"
        start = min(MARGIN + round(_part(value, *horizontal) * (canvas.columns - 1)), len(scale) - len(word))
        scale[start : start + len(word)] = word
    return ["  FLOP/s", *lines, "".join(scale).rstrip() + "  FLOP/B"]


def _legend(bytes_per_second: float, ceilings: Sequence[Ceiling], ridges: Sequence[float]) -> list[str]:
    lines = [f"slope: {show_bytes_per_second(bytes_per_second)} of memory, measured"]
    wide = max(display_width(ceiling.label) for ceiling in ceilings)
    for letter, ceiling, ridge in zip(MARKS, ceilings, ridges, strict=False):
        peak = ceiling.peak_flops_per_second
        dotted = f", dense peak {show_flops_per_second(peak)} (dotted)" if peak is not None else ""
        rate = show_flops_per_second(ceiling.flops_per_second)
        lines.append(f"{letter}: {ceiling.label:{wide}}  {rate}, ridge at {ridge:.3g} FLOP/B{dotted}")
    return lines


def _decades(low: float, high: float) -> tuple[float, float]:
    """The powers of ten around a range."""
    return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))


def _powers(low: float, high: float) -> list[float]:
    return [10.0**exponent for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _part(value: float, low: float, high: float) -> float:
    """Where a value lies between two others on a logarithmic scale, 0 to 1."""
    return math.log(value / low) / math.log(high / low)
