"""A roofline as a picture: what some devices allow at each intensity, and where a step stands under each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rooflight.core.units import show_bytes_per_second, show_flops_per_second
from rooflight.report.axes import HEIGHT, WIDTH, LogAxes, grid, log_axes
from rooflight.report.markup import Markup, tag

HUES = 5  # classes hue0 to hue4 of the style sheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """A device's ceilings, and the FLOP/s that the step is predicted to reach under them."""

    name: str
    flops_per_second: float
    bytes_per_second: float
    reached: float

    def at(self, intensity: float) -> float:
        """FLOP/s at most, of work with so many FLOPs per byte."""
        return min(self.flops_per_second, intensity * self.bytes_per_second)

    @property
    def ridge(self) -> float:
        """FLOPs per byte from which arithmetic is the limit."""
        return self.flops_per_second / self.bytes_per_second


def roofline_chart(roofs: Sequence[Roof], intensity: float) -> Markup:
    """Up to five devices.

    intensity  FLOPs per byte of the step, with every tensor moved once
    """
    shown = roofs[:HUES]
    reach = [intensity, *(roof.ridge for roof in shown)]
    xs = [min(reach) / 8, max(reach) * 8]
    ys = [roof.at(x) for roof in shown for x in xs] + [roof.reached for roof in shown]
    axes = log_axes(xs, ys)
    at = axes.x.at(math.log10(intensity))
    return tag(
        "svg",
        tag("title", "Roofline"),
        tag("desc", "; ".join(_tale(roof, intensity) for roof in shown)),
        grid(
            axes,
            x_name="arithmetic intensity, FLOPs per byte",
            y_name="FLOP/s",
            show_x=lambda value: f"{value:,.4g}",
            show_y=lambda value: show_flops_per_second(value).replace("FLOP/s", "").strip(),
        ),
        tag("line", x1=at, x2=at, y1=axes.y.end, y2=axes.y.start, class_="here"),
        [_roof(axes, roof, intensity, index) for index, roof in enumerate(shown)],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )


def roofline_legend(roofs: Sequence[Roof], intensity: float) -> Markup:
    """Which colour is which device, and the figures behind it in words."""
    swatch = [
        tag(
            "svg",
            tag("path", d="M1 11L12 3L27 3"),
            tag("circle", cx=20, cy=8, r=3.5),
            viewBox="0 0 28 14",
            class_=f"swatch roof hue{index}",
            aria_hidden="true",
        )
        for index in range(HUES)
    ]
    lines = [
        tag("li", swatch[index], tag("b", roof.name), f": {_figures(roof, intensity)}")
        for index, roof in enumerate(roofs[:HUES])
    ]
    return tag("ul", lines, class_="legend stacked")


def _roof(axes: LogAxes, roof: Roof, intensity: float, index: int) -> Markup:
    left, right = axes.x_range
    bottom = 10**axes.y.low
    begin = max(left, bottom / roof.bytes_per_second)  # a slope that would leave the picture at the bottom
    corners = [(begin, roof.at(begin)), (roof.ridge, roof.flops_per_second), (right, roof.flops_per_second)]
    line = "L".join(f"{x} {y}" for x, y in (axes.at(*corner) for corner in corners))
    x, y = axes.at(intensity, roof.reached)
    point = tag("circle", tag("title", _tale(roof, intensity)), cx=x, cy=y, r=5)
    return tag("g", tag("path", d=f"M{line}"), point, class_=f"roof hue{index}")


def _figures(roof: Roof, intensity: float) -> str:
    limit = roof.at(intensity)
    bound = "arithmetic" if intensity >= roof.ridge else "memory"
    return (
        f"{show_flops_per_second(roof.flops_per_second)}, {show_bytes_per_second(roof.bytes_per_second)}, ridge at "
        f"{roof.ridge:,.0f} FLOPs per byte; the step reaches {show_flops_per_second(roof.reached)}, "
        f"{100 * roof.reached / limit:.0f} % of what {bound} allows"
    )


def _tale(roof: Roof, intensity: float) -> str:
    return f"{roof.name}: {_figures(roof, intensity)}"
