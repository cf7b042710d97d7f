"""Training curves as inline SVG: axes, ticks, legend, and a point that tells its value."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rooflight.report.markup import Markup, tag

# Units of the viewBox. Narrow on purpose: on a phone the text is then still readable, and nothing is drawn twice.
_WIDTH, _HEIGHT = 440, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_MOST_POINTS = 60  # more than this and the markers are a smear: the line alone is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve: y over x. A y that is not finite is a gap."""

    name: str
    style: str  # a class of the style sheet: "test" or "train"
    x: tuple[int, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A stretch of numbers laid along an axis."""

    low: float
    high: float
    start: float  # pixels
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def chart(title: str, lines: Sequence[Line], *, show: Callable[[float], str], most: float | None = None) -> Markup:
    """Curves over epochs.

    show  a value in words, for ticks and points
    most  the largest value there can be: 1 for a share
    """
    ticks_y = value_ticks([y for line in lines for y in line.y if math.isfinite(y)], most)
    epochs = [x for line in lines for x in line.x]
    first, last = min(epochs), max(epochs)
    # A single epoch has no width: it sits in the middle of an axis of its own.
    margin = 0.5 if first == last else 0.0
    x = Scale(low=first - margin, high=last + margin, start=_LEFT + 8, end=_WIDTH - _RIGHT - 8)
    y = Scale(low=ticks_y[0], high=ticks_y[-1], start=_HEIGHT - _BOTTOM, end=_TOP)
    return tag(
        "svg",
        tag("title", title),
        tag("desc", "; ".join(_tale(line, show) for line in lines)),
        _grid(y, ticks_y, show),
        _epoch_axis(x, first, last),
        [_curve(line, x, y, show) for line in lines],
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        class_="chart",
    )


def legend(lines: Sequence[Line]) -> Markup:
    """What each curve is, in HTML so that it wraps and can be read by anyone."""
    return tag("ul", [tag("li", _swatch(line), line.name) for line in lines], class_="legend")


def value_ticks(values: Sequence[float], most: float | None = None) -> list[float]:
    """Four to seven round numbers that enclose the values; from zero where that wastes little."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low >= 0 and low <= 0.5 * high:
        low = 0.0
    if high <= low:  # all the same
        low, high = low - 0.05 * (abs(low) or 1.0), high + 0.05 * (abs(high) or 1.0)
    step = _round_step((high - low) / 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, 10) for index in range(first, last + 1)]
    return [tick for tick in ticks if tick <= most] if most is not None and ticks[-1] > most >= high else ticks


def epoch_ticks(first: int, last: int) -> list[int]:
    """At most six whole numbers, the last epoch among them."""
    step = max(1, math.ceil((last - first) / 5))
    if step > 5:
        step = math.ceil(step / 5) * 5
    inner = [tick for tick in range(first, last + 1) if tick % step == 0 or tick == first]
    far_enough = [tick for tick in inner if tick == first or tick - first >= step * 0.6]
    return [tick for tick in far_enough if last - tick >= step * 0.6 or tick == last] + (
        [] if far_enough[-1] == last else [last]
    )


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough * (1 - 1e-9))


def _grid(y: Scale, ticks: Sequence[float], show: Callable[[float], str]) -> Markup:
    rows = []
    for tick in ticks:
        level = y.at(tick)
        style = "axis" if tick == ticks[0] else "level"
        rows.append(tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=level, y2=level, class_=style))
        rows.append(tag("text", show(tick), x=_LEFT - 8, y=level + 4, text_anchor="end"))
    return tag("g", rows, aria_hidden="true")


def _epoch_axis(x: Scale, first: int, last: int) -> Markup:
    base = _HEIGHT - _BOTTOM
    marks: list[Markup] = []
    for tick in epoch_ticks(first, last):
        marks.append(tag("line", x1=x.at(tick), x2=x.at(tick), y1=base, y2=base + 5, class_="axis"))
        marks.append(tag("text", tick, x=x.at(tick), y=base + 20, text_anchor="middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    marks.append(tag("text", "epoch", x=middle, y=_HEIGHT - 4, text_anchor="middle", class_="axis-name"))
    return tag("g", marks, aria_hidden="true")


def _curve(line: Line, x: Scale, y: Scale, show: Callable[[float], str]) -> Markup:
    commands, pen_down = [], False
    for epoch, value in zip(line.x, line.y, strict=True):
        if math.isfinite(value):
            commands.append(f"{'L' if pen_down else 'M'}{x.at(epoch)} {y.at(value)}")
        pen_down = math.isfinite(value)
    return tag(
        "g", tag("path", d="".join(commands)) if commands else None, _points(line, x, y, show), class_=line.style
    )


def _points(line: Line, x: Scale, y: Scale, show: Callable[[float], str]) -> list[Markup]:
    if len(line.x) > _MOST_POINTS:
        return []
    return [
        tag("circle", tag("title", f"epoch {epoch}, {line.name}: {show(value)}"), cx=x.at(epoch), cy=y.at(value), r=3.5)
        for epoch, value in zip(line.x, line.y, strict=True)
        if math.isfinite(value)
    ]


def _swatch(line: Line) -> Markup:
    drawing = tag("g", tag("path", d="M1 6L27 6"), tag("circle", cx=14, cy=6, r=3.5), class_=line.style)
    return tag("svg", drawing, viewBox="0 0 28 12", class_="swatch", aria_hidden="true")


def _tale(line: Line, show: Callable[[float], str]) -> str:
    """The curve in words, for those who do not see it."""
    finite = [(epoch, value) for epoch, value in zip(line.x, line.y, strict=True) if math.isfinite(value)]
    if not finite:
        return f"{line.name}: no finite value"
    (first, start), (last, end) = finite[0], finite[-1]
    if first == last:
        return f"{line.name}: {show(end)} at epoch {last}"
    return f"{line.name}: from {show(start)} at epoch {first} to {show(end)} at epoch {last}"
