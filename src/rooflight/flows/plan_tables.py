"""A plan for people: one table, and what is to be said of it in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rooflight.core.parallel import words as form_words
from rooflight.core.plans import Plan, PlanConfig
from rooflight.core.tables import Report, Table
from rooflight.core.types import Estimate, Trace, Workload
from rooflight.core.units import show_bytes, show_count, show_flops, show_gibibytes, show_seconds
from rooflight.flows.plan_explain import box_sentence, explain, faster_ways
from rooflight.flows.plan_generation import generation_lines, tokens_per_second
from rooflight.flows.plan_input import input_sentence
from rooflight.flows.plan_ways_out import sentences, with_ways_out
from rooflight.flows.roof import too_low

if TYPE_CHECKING:
    from rooflight.estimate.affine import TraceFamily
    from rooflight.estimate.sweep import Sweep, Swept

EXPLAINED = 3
SMALL_BYTES = 0.1 * 2**30
COLUMNS = ("GPU", "fits", "GiB", "step", "samples/s (low–high)", "bound by", "MFU", "W", "$/h", "$/M")
RUN_COLUMNS = (*COLUMNS[:-1], "run", "$ run")


def plan_report(plan: Plan, config: PlanConfig, *, sweep: Sweep | None, found: Sequence[Swept]) -> Report:
    """The best that fit, why they are what they are, and what was left out; exit code 1 if nothing fits."""
    fit = [row for row in plan.estimates if row.fits]
    shown = list(plan.estimates) if config.gpu else (fit or list(plan.estimates))[: config.top]
    notes = [_sentence(plan)]
    notes += _peak(plan)
    notes += _counts(plan, fit, shown)
    here = plan.roof.name if plan.roof else None
    notes += too_low("an MFU", (row.mfu for row in plan.estimates if row.gpu == here))
    if fit and sweep is not None:
        by_name = {swept.spec.name: swept for swept in found}
        best = [by_name[row.gpu] for row in fit if row.gpu in by_name]
        notes += [explain(sweep, swept) for swept in best[:EXPLAINED]]
        notes += _kept_up(sweep, best[:1])
        notes += generation_lines(plan.workload, best[0]) if best else []
        notes += faster_ways(sweep, best[0]) if best else []
        notes += box_sentence(best[0], config.gpus) if best else []
    if not fit:
        plan = with_ways_out(plan, config, sweep, found)
        notes += sentences(plan, config, sweep, found)
    notes += _legend(shown)
    notes += _of_run(config, fit)
    notes += [f"assumed: {line}" for line in (plan.assumptions or (fit or shown)[0].assumptions if shown else ())]
    columns: tuple[str, ...] = COLUMNS if config.samples is None else RUN_COLUMNS
    if plan.workload.generation is not None:
        columns = tuple(name.replace("samples/s", "tokens/s") for name in columns)
    table = Table(columns=columns, rows=tuple(_row(row, plan.workload) for row in shown))
    return Report(answer=plan, tables=(table,) if shown else (), notes=tuple(notes), exit_code=0 if fit else 1)


def trace_report(found: Trace | TraceFamily) -> Report:
    """A trace for people: its sums; with --json what `plan` reads again."""
    trace = found if isinstance(found, Trace) else found.base
    every = (
        "at this batch alone" if isinstance(found, Trace) else f"at batch {trace.workload.batch}; other batches follow"
    )
    return Report(
        answer=found,
        notes=(
            f"{_of_workload(trace.workload)}: {_sums(trace.parameters, trace.flops, trace.bytes)}.",
            f"{len(trace.ops)} operators, {show_bytes(trace.peak_bytes)} at the peak, {every}. --json prints it whole.",
        ),
    )


def _row(row: Estimate, work: Workload) -> tuple[str, ...]:
    price = "" if row.usd_per_hour is None else f"{row.usd_per_hour:.2f}{'*' if _is_bought(row) else ''}"
    middle, low, high = (tokens_per_second(work, rate) for rate in (row.samples_per_second, row.low, row.high))
    return (
        row.gpu,
        "yes" if row.fits else "no",
        show_gibibytes(row.peak_bytes) if row.peak_bytes >= SMALL_BYTES else "<0.1",
        show_seconds(row.step_seconds),
        f"{_rate(middle)} ({_rate(low)}–{_rate(high)})",
        row.bound_by,
        "" if row.mfu is None else f"{100 * row.mfu:.0f} %",
        "" if row.watts is None else f"{row.watts:.0f}",
        price,
        *_money(row),
    )


def _money(row: Estimate) -> tuple[str, ...]:
    """Dollars for a million samples; or, of a run, its time and dollars."""
    if row.run_seconds is None:
        return ("" if row.usd_per_million_samples is None else _usd(row.usd_per_million_samples),)
    return show_seconds(row.run_seconds), "" if row.run_usd is None else _usd(row.run_usd)


def _rate(per_second: float) -> str:
    """`2604.3` → "2604", `126040` → "126K": three or four digits."""
    if per_second >= 9999.5:
        return show_count(per_second).replace(" ", "")
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.3g}"


def _usd(dollars: float) -> str:
    if dollars >= 1000:
        return f"{dollars:.0f}"
    return f"{dollars:.2f}" if dollars >= 0.1 else f"{dollars:.2g}"


def _is_bought(row: Estimate) -> bool:
    return (row.price or "").startswith("bought")


def _sentence(plan: Plan) -> str:
    return f"{_of_workload(plan.workload)}: {_sums(plan.trace.parameters, plan.trace.flops, plan.trace.bytes)}."


def _of_workload(work: Workload) -> str:
    words = [work.model, "training" if work.task == "train" else work.generation or "inference", f"batch {work.batch}"]
    if work.gpus > 1:
        each = "a micro-batch" if work.parallel.micro_batches > 1 else "all"
        words += [f"{each} of one replica", f"{work.gpus} GPUs: {form_words(work.parallel)}"]
    words += [work.dtype, *filter(None, (work.optimizer,))]
    words += [
        word
        for word, holds in (
            ("channels last", work.channels_last),
            ("compiled", work.compiled),
            ("CUDA graph", work.graphed),
        )
        if holds
    ]
    words += ["checkpointing"] if work.checkpointing else []
    return ", ".join(words)


def _sums(parameters: int, flops: int, moved: int) -> str:
    return f"{show_count(parameters)} parameters, {show_flops(flops)} and {show_bytes(moved)} moved a step"


def _peak(plan: Plan) -> list[str]:
    """When memory is most, and what fills it."""
    if plan.peak is None:
        return []
    what = ", ".join(f"{role.replace('_', ' ')} {show_bytes(size)}" for role, size in plan.peak.by_role.items())
    where = f"{plan.peak.op_name}, operator {plan.peak.op + 1} of {plan.peak.ops}"
    return [f"Memory peaks in {plan.peak.phase} ({where}): {what}."]


def _counts(plan: Plan, fit: Sequence[Estimate], shown: Sequence[Estimate]) -> list[str]:
    """How many are not in the table, and why."""
    unfit = [row for row in plan.estimates if not row.fits]
    more = len(fit) - len([row for row in shown if row.fits])
    lines = [f"{more} more fit; --top shows them, --json all."] if more > 0 else []
    if unfit and fit:
        lines.append(f"{len(unfit)} do not fit: the step needs {show_bytes(min(row.peak_bytes for row in unfit))}.")
    left = [
        f"{f'{len(each.gpus)} GPUs' if len(each.gpus) > 1 else each.gpus[0]} ({each.reason})" for each in plan.left_out
    ]
    return lines + ([f"left out: {'; '.join(left)}."] if left else [])


def _of_run(config: PlanConfig, fit: Sequence[Estimate]) -> list[str]:
    """What the run costs on the first of the ranking."""
    if config.samples is None or not fit:
        return []
    first = fit[0]
    energy = "" if first.run_kwh is None else f", {first.run_kwh:.3g} kWh"
    dollars = "" if first.run_usd is None else f", {_usd(first.run_usd)} USD"
    gpus = "" if config.gpus == 1 else f"{config.gpus} × "
    return [
        f"The whole run of {show_count(config.samples)} samples takes {show_seconds(first.run_seconds)} on {gpus}"
        f"{first.gpu}{energy}{dollars}: the steps alone, without evaluation, checkpoints and the host's energy."
    ]


def _kept_up(sweep: Sweep, best: Sequence[Swept]) -> list[str]:
    """Of an input that does not limit, how much it could give; one that does was explained."""
    rows = [swept.estimate for swept in best if swept.estimate.bound_by != "input"]
    return [] if sweep.feed is None else [input_sentence(row, sweep.feed) for row in rows]


def _legend(shown: Sequence[Estimate]) -> list[str]:
    """What the dollars are."""
    if not any(row.usd_per_hour for row in shown):
        return []
    dates = sorted({row.price[-10:] for row in shown if row.price and not _is_bought(row)})
    lines = []
    if dates:
        when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        million = "" if shown[0].run_seconds is not None else " $/M: dollars for a million samples."
        lines.append(f"$/h: of one GPU, the cheapest offer on demand as of {when}.{million}")
    bought = next((row.price for row in shown if _is_bought(row)), None)
    return [*lines, f"*: {bought}; without the machine around it."] if bought else lines
