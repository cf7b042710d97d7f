"""The roofline of two axes as a picture: its three regions, and where a step stands on each number of GPUs."""

from collections.abc import Sequence

from rooflight.core.units import show_bytes_per_second, show_flops_per_second
from rooflight.report.axes import HEIGHT, WIDTH, LogAxes, grid, log_axes
from rooflight.report.markup import Markup, tag
from rooflight.report.regions import Place, region

Corner = tuple[float, float]  # FLOPs per byte of memory and per byte sent


def regions_chart(title: str, places: Sequence[Place], *, flops: float, memory: float, network: float) -> Markup:
    """The rates are FLOP/s and bytes per second. A place that sends nothing stands at the upper edge."""
    ridge = (flops / memory, flops / network)
    sent = [place.flops_per_network_byte for place in places if place.flops_per_network_byte]
    xs = [place.flops_per_memory_byte for place in places]
    axes = log_axes([*xs, ridge[0] / 8, ridge[0] * 8], [*sent, ridge[1] / 8, ridge[1] * 8])
    rates = {"flops": flops, "memory": memory, "network": network}
    return tag(
        "svg",
        tag("title", title),
        tag("desc", "; ".join(_tale(place, rates) for place in places)),
        tag("g", [_area(axes, name, corners) for name, corners in _areas(axes, ridge).items()]),
        grid(
            axes,
            x_name="FLOPs per byte of memory",
            y_name="FLOPs per byte sent",
            show_x=lambda value: f"{value:,.4g}",
            show_y=lambda value: f"{value:,.7g}",
        ),
        tag("g", [_dot(axes, place, rates) for place in places]),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )


def regions_legend(*, flops: float, memory: float, network: float) -> Markup:
    """What each region is, with the rate that sets the pace there."""
    words = {
        "compute": f"arithmetic sets the pace: {show_flops_per_second(flops)}",
        "memory": f"memory does: {show_bytes_per_second(memory)}",
        "network": f"the network does: {show_bytes_per_second(network)}",
    }
    keys = [tag("span", tag("span", class_=f"key {name}", aria_hidden="true"), text) for name, text in words.items()]
    return tag("p", keys, class_="note keys")


def _areas(axes: LogAxes, ridge: Corner) -> dict[str, list[Corner]]:
    """The corners of each region: they meet at the ridge, and memory and network share a line of slope one."""
    left, right = axes.x_range
    bottom, top = 10**axes.y.low, 10**axes.y.high
    slope = ridge[1] / ridge[0]
    leaves_left = left * slope >= bottom
    meet = (left, left * slope) if leaves_left else (bottom / slope, bottom)
    edge = [] if leaves_left else [(left, bottom)]
    other_edge = [(left, bottom)] if leaves_left else []
    return {
        "compute": [ridge, (ridge[0], top), (right, top), (right, ridge[1])],
        "memory": [ridge, (ridge[0], top), (left, top), *edge, meet],
        "network": [ridge, meet, *other_edge, (right, bottom), (right, ridge[1])],
    }


def _area(axes: LogAxes, name: str, corners: Sequence[Corner]) -> Markup:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in (axes.at(*corner) for corner in corners))
    return tag("path", tag("title", name), d=f"M{line}Z", class_=f"region {name}")


def _dot(axes: LogAxes, place: Place, rates: dict[str, float]) -> Markup:
    x, y = axes.at(place.flops_per_memory_byte, place.flops_per_network_byte or 10**axes.y.high)
    label = tag("text", place.label, x=f"{x + 8:.1f}", y=f"{y + 4:.1f}", aria_hidden="true")
    return tag("g", tag("circle", tag("title", _tale(place, rates)), cx=f"{x:.1f}", cy=f"{y:.1f}", r=5), label)


def _tale(place: Place, rates: dict[str, float]) -> str:
    sent = place.flops_per_network_byte
    where = region(place.flops_per_memory_byte, sent or float("inf"), **rates)
    told = "nothing sent" if sent is None else f"{sent:,.0f} a byte sent"
    return f"{place.label} GPUs: {place.flops_per_memory_byte:,.0f} FLOPs a byte of memory, {told}: {where}"
