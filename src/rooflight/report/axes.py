"""Logarithmic axes of a plot: round ticks, lines, and what stands along them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rooflight.report.curves import Scale
from rooflight.report.markup import Markup, tag

WIDTH, HEIGHT = 560, 360  # units of the viewBox: on a phone the letters are still readable
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 16, 46


@dataclass(frozen=True, slots=True, kw_only=True)
class LogAxes:
    """Where a pair of positive numbers lies in the picture."""

    x: Scale  # of decimal logarithms
    y: Scale

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x.at(math.log10(x)), self.y.at(math.log10(y))

    @property
    def x_range(self) -> tuple[float, float]:
        """The numbers at the left and right end."""
        return 10**self.x.low, 10**self.x.high


def log_axes(xs: Sequence[float], ys: Sequence[float]) -> LogAxes:
    """Axes that hold all of these numbers, each with some room around them."""
    left, right = _room(xs)
    bottom, top = _room(ys)
    return LogAxes(
        x=Scale(low=left, high=right, start=LEFT, end=WIDTH - RIGHT),
        y=Scale(low=bottom, high=top, start=HEIGHT - BOTTOM, end=TOP),
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from 10^low to 10^high: powers of ten, with 2 and 5 between them where there are few."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(map(float, range(1, 10)))):
        found = [
            step * 10.0**power
            for power in range(math.floor(low), math.ceil(high) + 1)
            for step in steps
            if low - 1e-9 <= math.log10(step) + power <= high + 1e-9
        ]
        if len(found) >= 4:
            break
    return found[:: max(1, -(-len(found) // 8))]


def grid(
    axes: LogAxes, *, x_name: str, y_name: str, show_x: Callable[[float], str], show_y: Callable[[float], str]
) -> Markup:
    """Lines, numbers and names of both axes."""
    base = HEIGHT - BOTTOM
    marks: list[Markup] = []
    for tick in log_ticks(axes.y.low, axes.y.high):
        level = axes.y.at(math.log10(tick))
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=level, y2=level, class_="level"))
        marks.append(tag("text", show_y(tick), x=LEFT - 8, y=level + 4, text_anchor="end"))
    for tick in log_ticks(axes.x.low, axes.x.high):
        place = axes.x.at(math.log10(tick))
        marks.append(tag("line", x1=place, x2=place, y1=TOP, y2=base, class_="level"))
        marks.append(tag("text", show_x(tick), x=place, y=base + 18, text_anchor="middle"))
    marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis"))
    marks.append(tag("line", x1=LEFT, x2=LEFT, y1=TOP, y2=base, class_="axis"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    marks.append(tag("text", x_name, x=middle, y=HEIGHT - 6, text_anchor="middle", class_="axis-name"))
    height = (TOP + base) / 2
    turned = f"rotate(-90 14 {height:g})"
    marks.append(tag("text", y_name, x=14, y=height, text_anchor="middle", transform=turned, class_="axis-name"))
    return tag("g", marks, aria_hidden="true")


def _room(values: Sequence[float]) -> tuple[float, float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.06 * (high - low), 0.1)
    return low - margin, high + margin
