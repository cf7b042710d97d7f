"""A plan as one page: speed over price and power, the roofline, every GPU in a table that filters without a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rooflight.core.plans import Plan
from rooflight.core.types import Estimate, GpuSpec, Workload
from rooflight.core.units import show_bytes, show_count, show_flops, show_rate, show_seconds
from rooflight.report.frame import Section, document, figure
from rooflight.report.markup import Markup, join, scroll_box, tag
from rooflight.report.plan_style import PLAN_STYLE, SHOWN
from rooflight.report.roofline_chart import HUES, Roof, roofline_chart, roofline_legend
from rooflight.report.scatter import Point, scatter

VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "apple": "Apple"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gpu:
    """A GPU's estimate beside its data sheet; None: it is no entry of the catalogue."""

    estimate: Estimate
    spec: GpuSpec | None

    @property
    def style(self) -> str:
        vendor = (self.spec.vendor if self.spec else None) or "other"
        return f"{vendor if vendor in VENDORS else 'other'} {'fits' if self.estimate.fits else 'unfit'}"


def plan_page(plan: Plan, specs: Mapping[str, GpuSpec], sentences: Sequence[str] = ()) -> str:
    """The whole page.

    specs      data sheets by the name that an estimate has; one that is not there has no memory and roof shown
    sentences  what is to be said of the plan in words
    """
    found = [_Gpu(estimate=row, spec=specs.get(row.gpu)) for row in plan.estimates]
    work = _work(plan.workload)
    sections = [
        Section(key="figures", link="Figures", title="At a glance", content=_figures(plan, found)),
        Section(key="sentences", link="In words", title="In words", content=_list(sentences)),
        Section(key="compare", link="Compare", title="What one gets for what", content=_scatters(found)),
        Section(key="roofline", link="Roofline", title="What limits it", content=_roofline(plan, found)),
        Section(key="gpus", link="All GPUs", title="Every GPU", content=_table(found)),
        Section(key="assumed", link="Assumed", title="Assumed, and left out", content=_fine_print(plan)),
    ]
    return document(
        title=f"{plan.workload.model}: which GPU?",
        eyebrow="Rooflight · plan, predicted",
        heading=f"{plan.workload.model}, {work}",
        sections=sections,
        foot="Made by Rooflight. Every figure is a prediction; low and high hold four of five measurements.",
        style=PLAN_STYLE,
    )


def _work(work: Workload) -> str:
    """`training at batch 64 in bfloat16`."""
    task = "training" if work.task == "train" else work.generation or "inference"
    return f"{task} at batch {work.batch:,} in {work.dtype}"


def _figures(plan: Plan, found: Sequence[_Gpu]) -> Markup:
    fit = [each.estimate for each in found if each.estimate.fits]
    trace = plan.trace
    asked = [
        figure("model", f"{show_count(trace.parameters)} parameters", show_bytes(trace.parameter_bytes)),
        figure("a step", show_flops(trace.flops), f"{show_bytes(trace.bytes)} moved, each tensor once"),
    ]
    if not fit:
        least = min((row.peak_bytes for row in plan.estimates), default=None)
        lead = _lead("0", "GPUs that it fits on", f"a step needs {show_bytes(least)}")
        return tag("div", lead, tag("dl", asked, class_="grid"), class_="figures")
    fastest = max(fit, key=lambda row: row.samples_per_second)
    between = f"{show_rate(fastest.low)} to {show_rate(fastest.high)}; {show_seconds(fastest.step_seconds)} a step"
    lead = _lead(_short(fastest.samples_per_second), "samples a second at best", f"{fastest.gpu}: {between}")
    best = []
    if priced := [(row.usd_per_million_samples, row) for row in fit if row.usd_per_million_samples is not None]:
        usd, row = min(priced, key=lambda pair: pair[0])
        best.append(figure("cheapest", f"{_usd(usd)} a million", f"{row.gpu}, {row.price}"))
    if drawn := [(row.joules_per_sample, row) for row in fit if row.joules_per_sample is not None]:
        joules, row = min(drawn, key=lambda pair: pair[0])
        best.append(figure("greenest", f"{joules:.3g} J a sample", f"{row.gpu}, {row.watts or 0:.0f} W"))
    if timed := [(row.run_seconds, row) for row in fit if row.run_seconds is not None]:
        seconds, row = min(timed, key=lambda pair: pair[0])
        best.append(figure("whole run, fastest", show_seconds(seconds), f"{row.gpu}{_costs(row)}"))
    if paid := [(row.run_usd, row) for row in fit if row.run_usd is not None]:
        usd, row = min(paid, key=lambda pair: pair[0])
        best.append(figure("whole run, cheapest", _usd(usd), f"{row.gpu}, {show_seconds(row.run_seconds)}"))
    best.append(figure("fits on", f"{len(fit)} of {len(found)}", "GPUs that have the dtype and were not filtered"))
    return tag("div", lead, tag("dl", [*best, *asked], class_="grid"), class_="figures")


def _costs(row: Estimate) -> str:
    energy = "" if row.run_kwh is None else f", {row.run_kwh:.3g} kWh"
    return energy if row.run_usd is None else f"{energy}, {_usd(row.run_usd)}"


def _lead(big: str, label: str, aside: str) -> Markup:
    words = (tag("p", big, class_="big"), tag("p", label, class_="label"), tag("p", aside, class_="aside"))
    return tag("div", words, class_="lead")


def _scatters(found: Sequence[_Gpu]) -> Markup | None:
    """Speed over price and over power, of what fits."""
    fit = [each for each in found if each.estimate.fits]
    plots = []
    for title, x_name, what in (
        ("Speed and price", "USD per hour of one GPU", "usd_per_hour"),
        ("Speed and power", "watts drawn by one GPU", "watts"),
    ):
        points = [
            Point(name=each.estimate.gpu, x=x, y=each.estimate.samples_per_second, style=each.style, tale=_tale(each))
            for each in fit
            if (x := getattr(each.estimate, what))
        ]
        if len(points) < 2:
            continue
        picture = scatter(title, points, x_name=x_name, y_name="samples per second", show_x=_short, show_y=_short)
        plots.append(tag("figure", tag("figcaption", tag("h3", title)), picture))
    if not plots:
        return None
    how = "Up and to the left is better. The line joins those that none beats in both; point at one to read it."
    return join(_keys(found), tag("p", how, class_="note"), tag("div", plots, class_="plots"))


def _roofline(plan: Plan, found: Sequence[_Gpu]) -> Markup | None:
    """The first GPU of the ranking that fits of each architecture, under its published dense peaks."""
    dtype, intensity = plan.workload.dtype, plan.trace.flops / max(plan.trace.bytes, 1)
    form = plan.workload.parallel
    flops = plan.trace.flops * form.micro_batches / (form.tensor * form.pipeline)  # of one GPU
    first: dict[str, Roof] = {}
    for each in found:
        if each.spec and each.estimate.fits and dtype in each.spec.flops_per_second:
            roof = Roof(
                name=each.estimate.gpu,
                flops_per_second=each.spec.flops_per_second[dtype],
                bytes_per_second=each.spec.bytes_per_second,
                reached=flops / each.estimate.step_seconds,
            )
            first.setdefault((each.spec.architecture or each.spec.name).split()[0], roof)
    roofs = list(first.values())[:HUES]
    if not roofs or not intensity:
        return None
    about = (
        f"Lines: what a published dense peak in {dtype} and the memory allow one GPU. Points: where the predicted step "
        f"stands, at {intensity:,.0f} FLOPs per byte when every tensor is moved once."
    )
    picture = tag("figure", roofline_chart(roofs, intensity))
    return join(tag("p", about, class_="note"), tag("div", picture, roofline_legend(roofs, intensity), class_="plots"))


_HEAD = (
    "GPU",
    "fits",
    "needs of has",
    "step",
    "samples/s",
    "low to high",
    "bound by",
    "MFU",
    "W",
    "$/h",
    "$/M",
    "batch ≤",
)


def _table(found: Sequence[_Gpu]) -> Markup:
    rows = [tag("tr", tag("th", each.estimate.gpu, scope="row"), _cells(each), class_=each.style) for each in found]
    head = tag(
        "tr", [tag("th", word, scope="col", class_="num" if index > 1 else None) for index, word in enumerate(_HEAD)]
    )
    caption = tag("caption", f"{len(found)} GPUs in the order of the ranking; those that fit come first")
    grid = tag("table", caption, tag("thead", head), tag("tbody", rows), class_="gpus")
    return join(_filters(found), scroll_box(grid, "Every GPU, scrolls sideways"))


def _cells(each: _Gpu) -> list[Markup]:
    row, number = each.estimate, partial(tag, "td", class_="num")
    fits = tag("td", "yes" if row.fits else "no", class_="yes" if row.fits else "no")
    price = "" if row.usd_per_hour is None else f"{row.usd_per_hour:.2f}"
    return [
        fits,
        number(_memory(each)),
        number(show_seconds(row.step_seconds)),
        number(_short(row.samples_per_second)),
        number(f"{_short(row.low)} to {_short(row.high)}"),
        number(row.bound_by),
        number("" if row.mfu is None else f"{100 * row.mfu:.0f} %"),
        number("" if row.watts is None else f"{row.watts:.0f}"),
        tag("td", price, class_="num", title=row.price),
        number("" if row.usd_per_million_samples is None else _usd(row.usd_per_million_samples)),
        number("" if row.max_batch is None else f"{row.max_batch:,}"),
    ]


def _memory(each: _Gpu) -> Markup:
    """A bar of the share that the step takes, and the figures."""
    needs = show_bytes(each.estimate.peak_bytes)
    if each.spec is None:
        return join(needs)
    share = min(1.0, each.estimate.peak_bytes / each.spec.memory_bytes)
    bar = tag("span", class_="bar", style=f"--share:{100 * share:.0f}%", aria_hidden="true")
    return join(bar, f"{needs} of {show_bytes(each.spec.memory_bytes)}")


def _filters(found: Sequence[_Gpu]) -> Markup:
    """Boxes that the style sheet reads: what is not ticked is not shown."""
    present = {word for each in found for word in each.style.split()}
    boxes = [
        tag("label", tag("input", type="checkbox", id=f"show-{key}", checked="checked"), f" {name}")
        for key, name in SHOWN.items()
        if key in present
    ]
    return tag("fieldset", tag("legend", "show"), boxes, class_="filters")


def _keys(found: Sequence[_Gpu]) -> Markup:
    present = {each.style.split()[0] for each in found}
    keys = [
        tag("span", tag("span", class_=f"key {key}", aria_hidden="true"), name)
        for key, name in (*VENDORS.items(), ("other", "this machine, or another maker"))
        if key in present
    ]
    return tag("p", keys, class_="note keys")


def _fine_print(plan: Plan) -> Markup:
    left = [f"{each.reason}: {', '.join(each.gpus)}" for each in plan.left_out]
    assumed = plan.assumptions or tuple(line for row in plan.estimates[:1] for line in row.assumptions)
    return join(
        tag("h3", "Assumed") if assumed else None,
        _list(assumed),
        tag("h3", "Left out") if left else None,
        _list(left),
        None if assumed or left else tag("p", "Nothing.", class_="note"),
    )


def _list(lines: Sequence[str]) -> Markup | None:
    return tag("ul", [tag("li", line) for line in lines], class_="why") if lines else None


def _tale(each: _Gpu) -> str:
    """What a point says."""
    row = each.estimate
    words = [f"{row.gpu}: {show_rate(row.samples_per_second)} ({_short(row.low)} to {_short(row.high)})"]
    words += [f"bound by {row.bound_by}", f"needs {show_bytes(row.peak_bytes)}"]
    words += [] if row.watts is None else [f"{row.watts:.0f} W"]
    words += [] if row.usd_per_hour is None else [f"{row.usd_per_hour:.2f} USD/h, {row.price}"]
    return "; ".join(words)


def _short(value: float) -> str:
    """`2604.3` → "2,604", `126040` → "126K"."""
    if value >= 9999.5:
        return show_count(value).replace(" ", "")
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _usd(dollars: float) -> str:
    return f"${dollars:,.0f}" if dollars >= 100 else f"${dollars:.2g}" if dollars < 0.1 else f"${dollars:.2f}"
