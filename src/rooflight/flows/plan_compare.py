"""`rooflight plan --compare A B`: one step on two GPUs, operator class by operator class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.plans import HERE, Compared, ComparedClass, PlanConfig
from rooflight.core.tables import Report, Table
from rooflight.core.units import show_bytes, show_percent, show_rate, show_seconds
from rooflight.flows.plan_catalogue import named, pick_dtype, sweep_of
from rooflight.flows.plan_input import input_sentence
from rooflight.flows.plan_models import is_saved, saved, summary, traced

if TYPE_CHECKING:
    from rooflight.estimate.breakdown import Part
    from rooflight.estimate.sweep import Sweep, Swept

LEAST_SHARE = 0.005  # of both steps: a smaller class joins the rest
EVEN = 0.02  # a smaller difference of the step is none


def plan_compare(config: PlanConfig, names: tuple[str, str], *, console: Console | None = None) -> Report:
    """Seconds and shares of every class on both, and which GPU wins where.

    raises  SpecError for a GPU that is unknown or lacks the dtype, ConfigError for two that are one
    """
    from dataclasses import replace

    both = replace(config, gpu=names)
    specs = named(both)
    if HERE in names or len(specs) != 2:
        raise ConfigError(f"--compare {' '.join(names)}: it needs two different GPUs of the catalogue.")
    if is_saved(config.model):
        step = saved(both)
        pick_dtype(replace(both, dtype=step.whole.workload.dtype), specs)  # type: ignore[arg-type]
    else:
        dtype, why = pick_dtype(both, specs)
        (console or Silent()).say(f"{dtype} ({why})")
        step = traced(both, dtype)
    sweep = sweep_of(step, both)
    left, right = (sweep.estimate(spec) for spec in specs)
    answer = Compared(
        workload=step.whole.workload,
        trace=summary(step.whole),
        estimates=(left.estimate, right.estimate),
        classes=_side_by_side(_parts(sweep, left), _parts(sweep, right)),
    )
    feed = sweep.feed
    fed = [] if feed is None else [input_sentence(row, feed) for row in answer.estimates]
    notes = (*_verdict(answer), *fed, *(f"assumed: {line}" for line in sweep.assumptions()))
    fits = left.estimate.fits or right.estimate.fits
    return Report(answer=answer, tables=(_whole(answer), _table(answer)), notes=notes, exit_code=0 if fits else 1)


def _parts(sweep: Sweep, swept: Swept) -> tuple[Part, ...]:
    from rooflight.estimate.breakdown import breakdown, operator_classes
    from rooflight.estimate.device import device

    gpu = device(swept.spec, sweep.shares)
    return breakdown(sweep.columns, operator_classes(sweep.trace), gpu, sweep.setting, sweep.shares)


def _side_by_side(left: tuple[Part, ...], right: tuple[Part, ...]) -> tuple[ComparedClass, ...]:
    """The classes of both, which are the same for one trace, by the longer of their times."""
    other = {part.name: part for part in right}
    rows = [
        ComparedClass(
            name=part.name,
            seconds=(part.seconds, other[part.name].seconds),
            shares=(part.share, other[part.name].share),
            bound_by=(part.bound_by, other[part.name].bound_by),
        )
        for part in left
    ]
    return tuple(sorted(rows, key=lambda row: -max(row.seconds)))


def _whole(answer: Compared) -> Table:
    """The two steps as wholes."""
    lines = (
        ("fits", *("yes" if row.fits else "no" for row in answer.estimates)),
        ("memory", *(show_bytes(row.peak_bytes) for row in answer.estimates)),
        ("step", *(show_seconds(row.step_seconds) for row in answer.estimates)),
        ("throughput", *(show_rate(row.samples_per_second) for row in answer.estimates)),
        ("bound by", *(row.bound_by for row in answer.estimates)),
        ("MFU", *(show_percent(row.mfu) for row in answer.estimates)),
        ("power", *("" if row.watts is None else f"{row.watts:.0f} W" for row in answer.estimates)),
        ("price", *("" if row.usd_per_hour is None else f"{row.usd_per_hour:.2f} USD/h" for row in answer.estimates)),
        (
            "a million samples",
            *(
                "" if row.usd_per_million_samples is None else f"{row.usd_per_million_samples:.2f} USD"
                for row in answer.estimates
            ),
        ),
        ("largest batch", *("" if row.max_batch is None else f"{row.max_batch:,}" for row in answer.estimates)),
    )
    first, second = (row.gpu for row in answer.estimates)
    return Table(columns=("", first, second), rows=lines)


def _table(answer: Compared) -> Table:
    first, second = (row.gpu for row in answer.estimates)
    rows = []
    small = [0.0, 0.0]
    for row in answer.classes:
        if max(row.shares) < LEAST_SHARE:
            small = [small[0] + row.seconds[0], small[1] + row.seconds[1]]
            continue
        cells = [f"{show_seconds(row.seconds[n])}, {100 * row.shares[n]:.0f} %, {row.bound_by[n]}" for n in (0, 1)]
        rows.append((row.name, *cells, f"{row.seconds[0] / row.seconds[1]:.2f}×"))
    if any(small):
        rows.append(("the rest", *map(show_seconds, small), f"{small[0] / small[1]:.2f}×"))
    return Table(columns=("operators", first, second, "second against first"), rows=tuple(rows))


def _verdict(answer: Compared) -> tuple[str, ...]:
    """Which wins the step, and where the other one does."""
    left, right = answer.estimates
    ratio = right.samples_per_second / left.samples_per_second
    winner, loser, at = (right, left, 1) if ratio >= 1 else (left, right, 0)
    if max(ratio, 1 / ratio) - 1 < EVEN:
        lines = [f"{left.gpu} and {right.gpu} are equally fast, within {show_percent(EVEN)}."]
    else:
        lines = [f"{winner.gpu} is {max(ratio, 1 / ratio):.2f}× as fast as {loser.gpu}."]
    lost = [
        row.name
        for row in answer.classes
        if row.seconds[at] > (1 + EVEN) * row.seconds[1 - at] and max(row.shares) >= LEAST_SHARE
    ]
    if lost:
        lines.append(f"{loser.gpu} is faster at: {', '.join(lost)}.")
    prices = [row.usd_per_million_samples for row in answer.estimates]
    if prices[0] is not None and prices[1] is not None:
        cheaper = left if prices[0] <= prices[1] else right
        less, more = sorted((prices[0], prices[1]))
        lines.append(f"{cheaper.gpu} is cheaper by the sample: {less:.2g} against {more:.2g} USD a million.")
    for row in answer.estimates:
        if row.bound_by == "launch":
            lines.append(
                f"{row.gpu} waits for the host or for kernels to start: its operators' times do not add up to the step."
            )
    return tuple(lines)
