"""The confusion matrix, as a table that everyone can read, and what it says class by class."""

from collections.abc import Sequence

from rooflight.core.units import show_percent
from rooflight.report.markup import Markup, join, scroll_box, table, tag

MOST_CLASSES = 40  # a larger matrix is a carpet; what matters in it is in the two lists

Confusion = Sequence[Sequence[int]]  # [true class][predicted class]


def confusion_matrix(classes: Sequence[str], confusion: Confusion) -> Markup:
    """True classes down, predicted classes across; colour is the share of the row, mistakes on a scale of their own."""
    largest_mistake = max(
        (_share(row, j) for i, row in enumerate(confusion) for j in range(len(row)) if i != j), default=0
    )
    head = tag(
        "tr",
        tag("th", tag("span", "true ↓"), " ", tag("span", "predicted →"), scope="col", class_="corner"),
        [tag("th", tag("span", name), scope="col") for name in classes],
    )
    body = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            [_cell(row, i, j, largest_mistake) for j in range(len(row))],
        )
        for i, (name, row) in enumerate(zip(classes, confusion, strict=True))
    ]
    caption = tag("caption", "Test images by true class (rows) and predicted class (columns)")
    grid = tag("table", caption, tag("thead", head), tag("tbody", body), class_="matrix")
    return scroll_box(grid, "Confusion matrix, scrolls sideways")


def class_table(classes: Sequence[str], confusion: Confusion) -> Markup:
    """Recall and precision of each class, the hardest first."""
    rows = sorted(
        (recall if recall is not None else 2.0, index, recall) for index, recall in enumerate(recalls(confusion))
    )
    return scroll_box(
        table(
            "Recall: share of a class's images that were found. Precision: share of its verdicts that were right.",
            ("class", "recall", "precision", "images"),
            [
                (classes[i], _bar(recall), show_percent(_precision(confusion, i)), f"{sum(confusion[i]):,}")
                for _, i, recall in rows
            ],
        ),
        "Recall and precision by class",
    )


def worst_confusions(classes: Sequence[str], confusion: Confusion, count: int = 3) -> Markup | None:
    """The mistakes made most often, in words."""
    mistakes = sorted(
        ((row[j], i, j) for i, row in enumerate(confusion) for j in range(len(row)) if i != j and row[j] > 0),
        key=lambda mistake: (-mistake[0], mistake[1], mistake[2]),
    )
    if not mistakes:
        return None
    items = [
        tag("li", tag("b", classes[i]), " taken for ", tag("b", classes[j]), f": {n:,} of {sum(confusion[i]):,}")
        for n, i, j in mistakes[:count]
    ]
    return join(tag("p", "Mistaken most often:", class_="lead-in"), tag("ol", items, class_="mistakes"))


def recalls(confusion: Confusion) -> list[float | None]:
    """Share of each class's images that were recognised; None for a class without images."""
    return [row[i] / sum(row) if sum(row) else None for i, row in enumerate(confusion)]


def _precision(confusion: Confusion, index: int) -> float | None:
    claimed = sum(row[index] for row in confusion)
    return confusion[index][index] / claimed if claimed else None


def _share(row: Sequence[int], index: int) -> float:
    return row[index] / sum(row) if sum(row) else 0.0


def _cell(row: Sequence[int], i: int, j: int, largest_mistake: float) -> Markup:
    share = _share(row, j)
    depth = share if i == j else 0.75 * share / largest_mistake if largest_mistake else 0.0
    style = f"--depth:{round(depth * 100)}%" if row[j] else None
    names = ("hit" if i == j else "miss") + (" deep" if depth > 0.55 else "") if row[j] else "none"
    return tag("td", f"{row[j]:,}", class_=names, style=style, title=show_percent(share) if row[j] else None)


def _bar(recall: float | None) -> Markup:
    if recall is None:
        return join("unknown")
    bar = tag("span", class_="bar", style=f"--share:{recall * 100:.1f}%", aria_hidden="true")
    return join(bar, tag("span", show_percent(recall), class_="figure"))
