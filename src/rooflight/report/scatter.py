"""GPUs as points: what one gives over what it takes, both logarithmic. Each point tells its GPU when pointed at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rooflight.report.axes import HEIGHT, WIDTH, LogAxes, grid, log_axes
from rooflight.report.markup import Markup, tag

LETTER = 6.2  # width of a label's letter, in the units of the picture
LABELS = 7  # of the best; more would lie on each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that takes x and gives y, both positive."""

    name: str
    x: float
    y: float
    style: str  # classes of the style sheet
    tale: str  # what it tells when pointed at


def scatter(
    title: str,
    points: Sequence[Point],
    *,
    x_name: str,
    y_name: str,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
) -> Markup:
    """A picture of at least one point; those that no other beats in both are joined and named."""
    axes = log_axes([point.x for point in points], [point.y for point in points])
    best = frontier(points)
    return tag(
        "svg",
        tag("title", title),
        tag("desc", f"{len(points)} GPUs; best for what they take: {', '.join(point.name for point in best)}"),
        grid(axes, x_name=x_name, y_name=y_name, show_x=show_x, show_y=show_y),
        _stairs(axes, best),
        tag("g", [_dot(axes, point, named=point in best) for point in points]),
        tag("g", _labels(axes, best), class_="labels", aria_hidden="true"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )


def frontier(points: Sequence[Point]) -> list[Point]:
    """Those that give more than every one that takes as little or less, the modest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not found or point.y > found[-1].y:
            found.append(point)
    return found


def _dot(axes: LogAxes, point: Point, *, named: bool) -> Markup:
    x, y = axes.at(point.x, point.y)
    return tag(
        "circle",
        tag("title", point.tale),
        cx=x,
        cy=y,
        r=5 if named else 3.5,
        class_=f"dot {point.style}{' best' if named else ''}",
    )


def _stairs(axes: LogAxes, best: Sequence[Point]) -> Markup | None:
    if len(best) < 2:
        return None
    x, y = axes.at(best[0].x, best[0].y)
    steps = "".join(f"H{right}V{up}" for right, up in (axes.at(point.x, point.y) for point in best[1:]))
    return tag("path", d=f"M{x} {y}{steps}", class_="frontier")


def _labels(axes: LogAxes, best: Sequence[Point]) -> list[Markup]:
    """Names of the best, the highest first, where no earlier name lies."""
    taken: list[tuple[float, float, float]] = []
    found: list[Markup] = []
    for point in reversed(best):
        x, y = axes.at(point.x, point.y)
        width = LETTER * len(point.name)
        leftwards = x - 10 - width > 70
        left = x - 10 - width if leftwards else x + 10
        free = all(abs(y - level) > 13 or left + width + 8 < start or left > end + 8 for start, end, level in taken)
        if not free or left + width > WIDTH or len(found) == LABELS:
            continue
        taken.append((left, left + width, y))
        found.append(
            tag(
                "text",
                point.name,
                x=left + width if leftwards else left,
                y=y + 4,
                text_anchor="end" if leftwards else "start",
            )
        )
    return found
