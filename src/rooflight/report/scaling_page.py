"""Scaling curves as one page: for each GPU the roofline of two axes, and a table of either curve."""

from collections.abc import Sequence

from rooflight.core.parallel import words
from rooflight.core.plans import Scaling, ScalingPlan, ScalingPoint
from rooflight.core.units import show_bytes, show_rate, show_seconds
from rooflight.report.frame import Section, document
from rooflight.report.markup import Markup, join, scroll_box, table, tag
from rooflight.report.plan_style import PLAN_STYLE
from rooflight.report.regions import Place
from rooflight.report.regions_chart import regions_chart, regions_legend

HEAD = ("GPUs", "form", "micro-batch", "step", "throughput", "of best", "memory", "limited by", "waits")


def scaling_page(plan: ScalingPlan) -> str:
    """The whole page."""
    sections = [
        section
        for number, curve in enumerate(plan.curves)
        for section in (
            Section(
                key=f"roofline-{number}",
                link=f"{curve.gpu}: roofline",
                title=f"{curve.gpu}: what sets the pace",
                content=_regions(curve),
            ),
            Section(key=f"curves-{number}", link="curves", title=f"{curve.gpu}: how it scales", content=_curves(curve)),
        )
    ]
    lines = tag("ul", [tag("li", line) for line in plan.assumptions], class_="why") if plan.assumptions else None
    work = plan.workload
    task = "training" if work.task == "train" else work.generation or "inference"
    return document(
        title=f"{work.model}: how many GPUs?",
        eyebrow="Rooflight · scaling, predicted",
        heading=f"{work.model}, {task} in {work.dtype}",
        sections=[*sections, Section(key="assumed", link="Assumed", title="Assumed", content=lines)],
        foot="Made by Rooflight. Every figure is a prediction.",
        style=PLAN_STYLE,
    )


def places(points: Sequence[ScalingPoint]) -> list[Place]:
    """Where one GPU's work stands, for each number of them."""
    return [
        Place(
            label=str(point.gpus),
            flops_per_memory_byte=point.flops_per_memory_byte,
            flops_per_network_byte=point.flops_per_network_byte,
        )
        for point in points
    ]


def _regions(curve: Scaling) -> Markup | None:
    rates = {
        "flops": curve.roofs.flops_per_second,
        "memory": curve.roofs.memory_bytes_per_second,
        "network": curve.roofs.network_bytes_per_second,
    }
    named = (("The same batch for each GPU", curve.weak), ("The same batch in all", curve.strong))
    pictures = [
        tag("figure", tag("figcaption", tag("h3", title)), regions_chart(title, places(points), **rates))
        for title, points in named
        if points
    ]
    if not pictures:
        return None
    about = (
        "Each point is the best form found for so many GPUs: the FLOPs that one GPU does for each byte it moves in its "
        "memory and for each byte it sends. A step with nothing to send stands at the upper edge."
    )
    return join(tag("p", about, class_="note"), tag("div", pictures, class_="plots"), regions_legend(**rates))


def _curves(curve: Scaling) -> Markup | None:
    named = (("the same batch in all", curve.strong), ("the same batch for each GPU", curve.weak))
    tables = [
        scroll_box(table(title, HEAD, [_row(point) for point in points]), title) for title, points in named if points
    ]
    missing = tag("ul", [tag("li", line) for line in curve.missing], class_="why") if curve.missing else None
    return join(tables, missing) if tables or missing else None


def _row(point: ScalingPoint) -> tuple[object, ...]:
    waits = ", ".join(f"{name} {100 * share:.0f} %" for name, share in point.waiting.items() if share >= 0.005)
    return (
        f"{point.gpus:,}",
        words(point.form),
        f"{point.micro_batch:,}",
        show_seconds(point.step_seconds),
        show_rate(point.samples_per_second),
        f"{100 * point.efficiency:.0f} %",
        show_bytes(round(point.peak_bytes)),
        point.limited_by,
        waits or "–",
    )
