"""`rooflight plan`: any model, on any GPU of the catalogue and on this machine, ranked in one answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.plans import HERE, LeftOut, Plan, PlanConfig
from rooflight.core.tables import Report
from rooflight.core.types import Trace
from rooflight.flows.plan_catalogue import affordable, chosen, filtered, named, pick_dtype, ranked, sweep_of
from rooflight.flows.plan_here import Here, plan_here
from rooflight.flows.plan_models import Traced, every_batch, is_saved, saved, step_peak, summary, traced
from rooflight.flows.plan_page import refuse_page
from rooflight.flows.plan_scaling import plan_scaling
from rooflight.flows.plan_tables import plan_report, trace_report

if TYPE_CHECKING:
    from rooflight.estimate.sweep import Sweep, Swept


def plan(config: PlanConfig | None = None, *, page: Path | None = None, console: Console | None = None) -> Report:
    """Time, memory, power and price of one step, ranked; exit code 1 if it fits nowhere.

    The GPUs are those of --gpu. Without, they are the whole catalogue and this machine, or this machine alone if
    --device names its device.
    page    a file that the plan is written to for people too
    raises  ConfigError, SpecError, TraceError for what cannot be planned
    """
    config, console = config or PlanConfig(), console or Silent()
    if page is not None:
        refuse_page(page)
    if config.scaling is not None:
        return plan_scaling(config, console=console)
    here_alone = set(config.gpu) == {HERE} or (not config.gpu and config.device != "auto")
    over = None if here_alone else _over_catalogue(config, console)
    here, left_out = _this_machine(config, console, must=here_alone or HERE in config.gpu)
    step = over.sweep.trace if over else _trace_of(here, config)
    rows = [swept.estimate for swept in over.found] if over else []
    rows += [here.estimate] if here else []
    if config.samples is not None:
        from rooflight.estimate.cost import with_run

        rows = [with_run(row, config.samples) for row in rows]
    answer = Plan(
        workload=step.workload,
        trace=summary(step),
        roof=here.roof if here else None,
        estimates=ranked(rows, config.goal),
        left_out=(*(over.left_out if over else ()), *left_out),
        assumptions=(*over.notes, *over.sweep.assumptions()) if over else (),
        peak=step_peak(step),
    )
    told = plan_report(answer, config, sweep=over.sweep if over else None, found=over.found if over else ())
    return told if page is None else _with_page(told, answer, page)


def _with_page(told: Report, answer: Plan, page: Path) -> Report:
    from rooflight.flows.plan_page import write_plan_page

    # The page has a place of its own for what was left out and assumed, and shows every GPU.
    words = [note for note in told.notes if not note.startswith(("assumed: ", "left out: ")) and "--top" not in note]
    write_plan_page(answer, page, words)
    return replace(told, notes=(*told.notes, f"{page}: the plan as one page, opens in any browser."))


def plan_trace(config: PlanConfig) -> Report:
    """`--trace-only`: the step at every batch, which `plan` reads again. With --json it is one document."""
    if is_saved(config.model):
        return trace_report(saved(config).whole)
    return trace_report(every_batch(config, pick_dtype(config, named(config))[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Over:
    """What GPUs of the catalogue make of the step."""

    sweep: Sweep
    found: tuple[Swept, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def _over_catalogue(config: PlanConfig, console: Console) -> _Over:
    step = _traced(config, console)
    specs, left_out = named(config), list[LeftOut]()
    if not specs:
        specs, left_out = chosen(config, step.whole.workload.dtype)
    sweep = sweep_of(step, config, console)
    kept, costly = affordable((sweep.estimate(spec) for spec in specs), config.max_usd_per_hour)
    return _Over(sweep=sweep, found=tuple(kept), left_out=(*left_out, *costly), notes=step.notes)


def _traced(config: PlanConfig, console: Console) -> Traced:
    """The step in a dtype that the named GPUs have. Raises SpecError if one lacks what was asked for."""
    if not is_saved(config.model):
        dtype, why = pick_dtype(config, named(config))
        console.say(f"GPUs of the catalogue: {dtype} ({why})")
        return traced(config, dtype)
    step = saved(config)
    pick_dtype(replace(config, dtype=step.whole.workload.dtype), named(config))  # type: ignore[arg-type]
    return step


def _this_machine(config: PlanConfig, console: Console, *, must: bool) -> tuple[Here | None, tuple[LeftOut, ...]]:
    """This machine's row, where it can run the step as it is asked for; else why not.

    must    it was asked for by name: what it cannot do is an error
    """
    if not must and (config.gpu or filtered(config)):
        return None, ()
    reason = _why_not_here(config)
    if reason is None:
        here = plan_here(config, console)
        reason = None if here else "no calibration of this machine, and it may not be measured"
        if here:
            return here, ()
    if must:
        raise ConfigError(f"this machine cannot be planned for: {reason}. Try --gpu NAME, or the model without that.")
    return None, (LeftOut(reason=reason or "", gpus=("this machine",)),)


def _why_not_here(config: PlanConfig) -> str | None:
    """What the roof of this machine says nothing of."""
    unknown = {
        "a saved trace is of what another GPU runs": is_saved(config.model),
        "--compile is not measured here": config.compile,
        "its loader is planned for GPUs of the catalogue": config.input_rate is not None or config.cores is not None,
        "--cuda-graphs are for GPUs of the catalogue": config.cuda_graphs,
        "--gpus is for GPUs of the catalogue": config.gpus > 1,
        "--dtype tfloat32 is for GPUs of the catalogue": config.dtype == "tfloat32",
        "its weights are planned in float32": config.parameter_dtype not in ("auto", "float32"),
    }
    return next((reason for reason, holds in unknown.items() if holds), None)


def _trace_of(here: Here | None, config: PlanConfig) -> Trace:
    assert here is not None, config  # asked for alone, it is there or was an error
    return here.trace
