"""`rooflight plan --scaling FIRST..LAST`: the best form for each number of GPUs, and what limits it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.parallel import LETTERS, Parallel, letters, words
from rooflight.core.plans import PlanConfig, Roofs, Scaling, ScalingPlan, ScalingPoint
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuSpec
from rooflight.core.units import show_bytes, show_gibibytes, show_percent, show_seconds
from rooflight.flows.plan_catalogue import named, pick_dtype, setting_of
from rooflight.flows.plan_form import MOST_GPUS, batch_of, check_gpus, network_of
from rooflight.flows.plan_models import Traced, find_recipe, gpu_workload, is_saved, saved, summary, trace_of

if TYPE_CHECKING:
    from rooflight.estimate.scaling import Search, Tried

TRACED = (2, 4)  # micro-batches that are traced: every other one follows; of one sample, libraries take other kernels
COLUMNS = ("GPUs", "form", "batches", "step", "samples/s", "of best", "GiB", "limited by", "waits most")


def plan_scaling(config: PlanConfig, *, console: Console) -> Report:
    """Strong and weak scaling of a model on the named GPUs; exit code 1 if no number of them holds it.

    raises  ConfigError for a range that is none, or where no GPU is named
    """
    from rooflight.estimate.scaling import Search, numbers
    from rooflight.estimate.shares import load_shares

    first, last = _range(config.scaling or "")
    check_gpus(config)  # whose batch the strong curve has
    _refuse_forms(config)
    specs = named(config)
    if not specs:
        raise ConfigError("--scaling needs to know which GPU: add --gpu NAME.")
    dtype, why = pick_dtype(config, specs)
    console.say(f"{dtype} ({why})")
    step = _traced(config, dtype)
    assert step.other is not None
    curves = []
    for spec in specs:
        console.say(f"forms for {first} to {last} × {spec.name}")
        search = Search(
            small=step.other,
            large=step.whole,
            spec=spec,
            setting=setting_of(step.whole.workload),
            shares=load_shares(),
            network=network_of(config),
        )
        curves.append(_curves(search, numbers(first, last), config))
    answer = ScalingPlan(
        workload=step.whole.workload,
        trace=summary(step.whole),
        curves=tuple(curves),
        assumptions=_assumed(config),
    )
    return _report(answer)


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not (dots and first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= MOST_GPUS):
        raise ConfigError(
            f"--scaling {text}: two numbers of GPUs are needed, 1 to {MOST_GPUS:,}. Try --scaling 1..1024."
        )
    return int(first), int(last)


def _refuse_forms(config: PlanConfig) -> None:
    """Raise ConfigError for a flag that the search chooses itself, or that it would leave out in silence."""
    plain = PlanConfig()
    names = (
        "tensor",
        "pipeline",
        "interleave",
        "sequence_parallel",
        "shard",
        "shard_group",
        "accumulation",
        "samples",
        "input_rate",
        "cores",
    )
    for name in names:
        if getattr(config, name) != getattr(plain, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is for one form; --scaling tries them all. Leave out one of the two."
            )


def _traced(config: PlanConfig, dtype: str) -> Traced:
    """One replica's micro-batch at two sizes; a saved trace must be one of every batch."""
    if is_saved(config.model):
        step = saved(replace(config, batch=None, gpus=1))
        if step.other is None:
            raise ConfigError(f"--scaling needs a trace of every batch; {config.model} is of one alone.")
        return saved(replace(config, batch=TRACED[1], gpus=1))
    recipe = find_recipe(config)
    one = replace(gpu_workload(replace(config, gpus=1, accumulation=1), recipe, dtype), parallel=Parallel())
    small, large = (trace_of(recipe, replace(one, batch=batch)) for batch in TRACED)
    return Traced(whole=large, other=small)


def _curves(search: Search, counts: list[int], config: PlanConfig) -> Scaling:
    batch = batch_of(config)
    missing: list[str] = []
    strong = _curve(search, [(count, batch * config.gpus) for count in counts], missing)
    weak = _curve(search, [(count, batch * count) for count in counts], missing)
    return Scaling(
        gpu=search.spec.name, roofs=_roofs(search, counts[-1]), strong=strong, weak=weak, missing=tuple(missing)
    )


def _curve(search: Search, asked: list[tuple[int, int]], missing: list[str]) -> tuple[ScalingPoint, ...]:
    found = {count: search.best(count, batch) for count, batch in asked}
    missing += [
        f"{count} GPUs, {batch} samples: no form divides them and holds it"
        for count, batch in asked
        if not found[count]
    ]
    each = {count: best[0].samples / best[0].shared.seconds / count for count, best in found.items() if best}
    return tuple(_point(found[count], count, rate / max(each.values())) for count, rate in each.items())


def _point(found: list[Tried], gpus: int, efficiency: float) -> ScalingPoint:
    best = found[0]
    share = best.form.micro_batches / best.form.pipeline
    flops = share * float(best.part.flops.sum())
    shared = best.shared
    return ScalingPoint(
        gpus=gpus,
        form=best.form,
        batch=best.samples,
        micro_batch=best.micro_batch,
        step_seconds=shared.seconds,
        samples_per_second=best.samples / shared.seconds,
        efficiency=efficiency,
        peak_bytes=best.peak_bytes,
        waiting={name: seconds / shared.seconds for name, seconds in shared.waiting.items()},
        limited_by=_limit(best),
        flops_per_memory_byte=flops / (share * float(best.part.bytes.sum())),
        flops_per_network_byte=flops / shared.sent_bytes if shared.sent_bytes else None,
        reason=_reason(found),
    )


def _limit(best: Tried) -> str:
    """What the largest share of the step goes to."""
    share = best.form.micro_batches / best.form.pipeline
    parts = {name: share * seconds for name, seconds in best.own.by_bound.items()}
    if best.own.bound_by == "launch":  # the GPU has worked off what the host has issued, and waits for more
        parts["launch"] = share * max(best.own.host_seconds, best.own.by_bound["launch"])
    waiting = dict(best.shared.waiting)
    parts["bubble"] = waiting.pop("bubble", 0.0)
    parts["network"] = sum(waiting.values())
    return max(parts, key=parts.__getitem__)


def _reason(found: list[Tried]) -> str:
    """Why this form: what it is better than, or as good as and plainer."""
    from rooflight.estimate.scaling import AS_FAST

    best = found[0]
    plain = [each for each in found if each.form.tensor == each.form.pipeline == 1 and each.form.sharding == "none"]
    fits = "" if plain or best.form.gpus == 1 else "a whole copy does not fit one GPU; "
    if len(found) == 1:
        return f"{fits}the only form that fits"
    second = found[1]
    slower = second.shared.seconds / best.shared.seconds - 1
    if slower < 0:
        return (
            f"{fits}the plainest of {len(found)} forms that fit, within {100 * (AS_FAST - 1):.0f} % of the fastest: "
            f"{words(second.form)} takes {show_percent(-slower)} less"
        )
    return f"{fits}fastest of {len(found)} forms that fit; {words(second.form)} takes {show_percent(slower)} longer"


def _roofs(search: Search, most: int) -> Roofs:
    from rooflight.estimate.collectives import Group, bus_bytes_per_second

    spec: GpuSpec = search.spec
    return Roofs(
        flops_per_second=spec.flops_per_second[search.small.workload.dtype],
        memory_bytes_per_second=spec.bytes_per_second,
        network_bytes_per_second=bus_bytes_per_second(Group(ranks=max(2, most)), search.joined),
    )


def _assumed(config: PlanConfig) -> tuple[str, ...]:
    batch = batch_of(config)
    return (
        f"strong: {batch * config.gpus} samples a step for any number of GPUs; weak: {batch} for each GPU",
        "forms tried: data × tensor (inside a machine, sequence parallel) × pipeline, with nothing, the optimizer or "
        "all weights sharded; micro-batches as large as fit; of forms within 3 % of the fastest, the plainest",
        "memory is tensors at their peak without the allocator's rounding; collectives by NCCL's model",
    )


def _report(answer: ScalingPlan) -> Report:
    tables, notes = [], []
    for curve in answer.curves:
        for title, points in (("the same batch in all", curve.strong), ("the same batch for each GPU", curve.weak)):
            if points:
                rows = tuple(_row(point) for point in points)
                tables.append(Table(title=f"{curve.gpu}, {title}", columns=COLUMNS, rows=rows))
        if curve.weak:
            notes += [_regions(curve), f"{curve.gpu}, {curve.weak[-1].gpus} GPUs: {curve.weak[-1].reason}."]
        notes += [f"{curve.gpu}: {reason}." for reason in curve.missing]
    if tables:
        notes.append(f"form: {LETTERS}. batches: samples of a micro-batch × how many go through.")
    moved = show_bytes(answer.trace.bytes)
    notes.append(f"{answer.workload.model}: {answer.trace.parameters:,} parameters, {moved} moved by the traced step.")
    notes += [f"assumed: {line}" for line in answer.assumptions]
    return Report(answer=answer, tables=tuple(tables), notes=tuple(notes), exit_code=0 if tables else 1)


def _row(point: ScalingPoint) -> tuple[str, ...]:
    longest = max(point.waiting, key=lambda name: point.waiting[name], default="")
    share = point.waiting.get(longest, 0.0)
    return (
        str(point.gpus),
        letters(point.form),
        f"{point.micro_batch} × {point.form.micro_batches}",
        show_seconds(point.step_seconds),
        _samples(point.samples_per_second),
        f"{100 * point.efficiency:.0f} %",
        show_gibibytes(round(point.peak_bytes)),
        point.limited_by,
        f"{longest} {100 * share:.0f} %" if share >= 0.005 else "–",
    )


def _samples(per_second: float) -> str:
    """`346.31` → "346.3", `22081.4` → "22,081": never with an exponent."""
    return f"{per_second:,.0f}" if per_second >= 1000 else f"{per_second:.4g}"


def _regions(curve: Scaling) -> str:
    from rooflight.report.regions import Place, draw_regions

    places = [
        Place(
            label=str(point.gpus),
            flops_per_memory_byte=point.flops_per_memory_byte,
            flops_per_network_byte=point.flops_per_network_byte,
        )
        for point in curve.weak
    ]
    roofs = curve.roofs
    return draw_regions(
        places,
        flops=roofs.flops_per_second,
        memory=roofs.memory_bytes_per_second,
        network=roofs.network_bytes_per_second,
    )
