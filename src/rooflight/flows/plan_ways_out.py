"""What to do when a step fits no GPU that was asked for: each way is traced and estimated anew, never guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rooflight.core.errors import RooflightError
from rooflight.core.plans import BATCH, Plan, PlanConfig, WayOut
from rooflight.core.units import show_bytes, show_percent
from rooflight.flows.plan_catalogue import limits
from rooflight.flows.plan_form import form_of
from rooflight.flows.plan_models import Traced, is_saved, optimizer_of, traced

if TYPE_CHECKING:
    from rooflight.estimate.sweep import Sweep, Swept

SHARDED = (2, 4, 8, 16, 32, 64)  # GPUs that are tried, until the step fits
EIGHT_BIT = {"adam": "adam-8bit", "adamw": "adamw-8bit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """One flag or two more than were given."""

    flags: str
    config: PlanConfig
    dtype: str  # of the products
    not_the_same: str | None = None


def with_ways_out(plan: Plan, config: PlanConfig, sweep: Sweep | None, found: Sequence[Swept]) -> Plan:
    """The plan with each way on the largest GPU, those that fit first, the least slow first, and what has no way.

    Unchanged where none can be worked out: for a saved trace, for this machine.
    """
    if sweep is None or not found or is_saved(config.model):
        return plan
    largest = max(found, key=lambda swept: swept.spec.memory_bytes)
    dtype = plan.workload.dtype
    ways, untraced = list[WayOut](), list[str]()
    for change in (*_same_training(plan, config, largest), *_other_training(plan, config, largest)):
        try:
            ways.append(_worked_out(change, traced(change.config, change.dtype, alone=True), largest))
        except RooflightError as error:  # no block repeats, no linear layer takes an adapter
            untraced.append(f"{change.flags}: {error}")
    if plan.workload.task == "train" and config.gpus == 1:
        ways += [*_accumulated(plan, config, largest), *_sharded(config, dtype, largest)]
        if not any(way.fits for way in ways):  # none alone is enough
            together, failed = _together(plan, config, largest)
            ways += together
            named = [each.partition(": ")[2] for each in untraced]
            untraced += [each for each in failed if each.partition(": ")[2] not in named]
    ways.sort(key=lambda way: (not way.fits, way.time_ratio))
    return replace(plan, ways_out=tuple(ways), untraced=tuple(untraced))


def sentences(plan: Plan, config: PlanConfig, sweep: Sweep | None, found: Sequence[Swept]) -> list[str]:
    """What was found, and one for each way that leads to a step that fits."""
    if not plan.estimates:
        given = " ".join(f"--{name.replace('_', '-')} {getattr(config, name)}" for name in limits(config))
        return [f"No GPU of the catalogue is left{f' under {given}' if given else ''}. Try a wider limit, or none."]
    least = min(row.peak_bytes for row in plan.estimates)
    if sweep is None or not found:
        return [f"It does not fit this machine: it peaks at {show_bytes(least)}. Try a smaller --batch."]
    largest = max(found, key=lambda swept: swept.spec.memory_bytes)
    who = "no GPU that was asked for" if config.gpu else "no GPU of the catalogue that is left"
    said = (
        f"It fits {who}: it peaks at {show_bytes(least)}, and the largest, {largest.spec.name}, has "
        f"{show_bytes(largest.spec.memory_bytes)}."
    )
    tries = [_sentence(way) for way in plan.ways_out if way.fits]
    if not plan.ways_out and largest.estimate.max_batch:
        tries = [f"--batch {largest.estimate.max_batch} on {largest.spec.name}, the largest that fits there"]
    tries += _larger_card(sweep, largest)
    failed = [f"no way out: {each}" for each in plan.untraced]
    if not tries:
        return [f"{said} Try a smaller model, or another --dtype.", *failed]
    return [said, *(f"Try {each}." for each in tries), *failed]


def _sentence(way: WayOut) -> str:
    change = way.time_ratio - 1.0
    price = f"{show_percent(abs(change))} {'more' if change >= 0 else 'less'} GPU time for a sample"
    learnt = f"; {way.not_the_same}" if way.not_the_same else ""
    return f"{way.flags} on {way.gpu}: it peaks at {show_bytes(way.peak_bytes)}, {price}{learnt}"


# ---------------------------------------------------------------- the ways


def _same_training(plan: Plan, config: PlanConfig, largest: Swept) -> Iterator[_Change]:
    """The same samples a step, or fewer, with what is learnt from each unchanged."""
    work, most = plan.workload, largest.estimate.max_batch
    if most:
        yield _Change(
            flags=f"--batch {most}",
            config=replace(config, batch=most, accumulation=1),
            dtype=work.dtype,
            not_the_same="fewer samples a step" if work.task == "train" else None,
        )
    if work.task != "train":
        return
    if not work.checkpointing:
        yield _Change(flags="--checkpointing", config=replace(config, checkpointing=True), dtype=work.dtype)


def _other_training(plan: Plan, config: PlanConfig, largest: Swept) -> Iterator[_Change]:
    """What is learnt, or how, is another; for inference, what the weights are."""
    dtype = plan.workload.dtype
    if config.task != "train":
        yield from _half_weights(plan, config, largest)
        return
    optimizer = optimizer_of(config) or ""
    if small := EIGHT_BIT.get(optimizer.removesuffix("-foreach")):
        yield _Change(
            flags=f"--optimizer {small}",
            config=replace(config, optimizer=small),
            dtype=dtype,
            not_the_same="the optimizer's moments are rounded to 8 bits",
        )
    adapted = replace(config, trainable="lora")
    learnt = "adapters of low rank alone are trained"
    if config.trainable == "all":
        yield _Change(flags="--trainable lora", config=adapted, dtype=dtype, not_the_same=learnt)
    for change in _half_weights(plan, adapted, largest):
        if config.trainable == "all":
            flags, words = f"--trainable lora {change.flags}", f"{learnt}, {change.not_the_same}"
            yield replace(change, flags=flags, not_the_same=words)
        elif config.trainable == "lora":
            yield change


def _half_weights(plan: Plan, config: PlanConfig, largest: Swept) -> Iterator[_Change]:
    """Weights in two bytes, where few or none of them are trained."""
    if plan.workload.parameter_dtype != "float32" or "bfloat16" not in largest.spec.flops_per_second:
        return
    flags, asked = "--parameter-dtype bfloat16", replace(config, parameter_dtype="bfloat16")
    if plan.workload.dtype != "bfloat16":
        flags, asked = f"--dtype bfloat16 {flags}", replace(asked, dtype="bfloat16")
    yield _Change(flags=flags, config=asked, dtype="bfloat16", not_the_same="weights are rounded to bfloat16")


def _accumulated(plan: Plan, config: PlanConfig, largest: Swept) -> list[WayOut]:
    """The batch in the fewest equal micro-batches that fit; [] if not even one sample does.

    Two micro-batches are traced, and one: a third and all that follow add what the second does, and no memory.
    """
    batch, most = plan.workload.batch, largest.estimate.max_batch
    parts = _parts(batch, most) if most and config.accumulation == 1 else None
    if parts is None:
        return []
    micro = batch // parts
    two = _Change(
        flags=f"--accumulation {parts}",
        config=replace(config, batch=2 * micro, accumulation=2),
        dtype=plan.workload.dtype,
        not_the_same="batch norms, if there are any, see a micro-batch alone",
    )
    dtype = plan.workload.dtype
    way = _worked_out(two, traced(two.config, dtype, alone=True), largest)
    one = replace(two, config=replace(config, batch=micro))
    first = _worked_out(one, traced(one.config, dtype, alone=True), largest)
    seconds = way.step_seconds + (parts - 2) * (way.step_seconds - first.step_seconds)
    rate = batch / seconds
    ratio = largest.estimate.samples_per_second / rate
    return [replace(way, step_seconds=seconds, samples_per_second=rate, time_ratio=ratio)]


def _together(plan: Plan, config: PlanConfig, largest: Swept) -> tuple[list[WayOut], list[str]]:
    """One sample at a time with checkpointing; that with a small optimizer, with adapters, on several GPUs.

    returns  what was worked out, and what was not: the flags, and why
    """
    least = replace(config, batch=1, accumulation=1, checkpointing=True)
    flags, dtype = "--batch 1 --checkpointing", plan.workload.dtype
    plain = _Change(flags=flags, config=least, dtype=dtype, not_the_same="fewer samples a step")
    others = (replace(more, flags=f"{flags} {more.flags}") for more in _other_training(plan, least, largest))
    ways, failed = list[WayOut](), list[str]()
    for change in (plain, *others):
        try:
            ways.append(_worked_out(change, traced(change.config, change.dtype, alone=True), largest))
        except RooflightError as error:
            failed.append(f"{change.flags}: {error}")
    try:
        ways += [replace(way, flags=f"{flags} {way.flags}") for way in _sharded(least, dtype, largest)]
    except RooflightError as error:
        failed.append(f"{flags} --shard parameters: {error}")
    return ways, failed


def _sharded(config: PlanConfig, dtype: str, largest: Swept) -> list[WayOut]:
    """Weights, gradients and optimizer state in parts, on the fewest GPUs that hold the step; [] if none do.

    Each GPU still has the whole batch's activations.
    """
    step = None
    for gpus in SHARDED:
        more = replace(config, gpus=gpus, shard="parameters")
        change = _Change(
            flags=f"--gpus {gpus} --shard parameters",
            config=more,
            dtype=dtype,
            not_the_same=f"{gpus * (config.batch or BATCH)} samples a step",
        )
        step = step or traced(more, dtype, alone=True)  # one rank's step is the same however many there are
        work = replace(step.whole.workload, parallel=form_of(more))
        way = _worked_out(change, Traced(whole=replace(step.whole, workload=work)), largest)
        if way.fits:
            return [way]
    return []


def _parts(batch: int, most: int) -> int | None:
    """The fewest equal micro-batches of at most so many samples; None: a micro-batch of one would be too large."""
    return next((parts for parts in range(2, batch + 1) if batch % parts == 0 and batch // parts <= most), None)


def _worked_out(change: _Change, step: Traced, largest: Swept) -> WayOut:
    """The changed step on the largest GPU."""
    from rooflight.flows.plan_catalogue import sweep_of

    found = sweep_of(step, change.config).estimate(largest.spec).estimate
    gpus = change.config.gpus
    return WayOut(
        flags=change.flags,
        gpu=largest.spec.name if gpus == 1 else f"{gpus} × {largest.spec.name}",
        fits=found.fits,
        peak_bytes=found.peak_bytes,
        step_seconds=found.step_seconds,
        samples_per_second=found.samples_per_second,
        time_ratio=gpus * largest.estimate.samples_per_second / found.samples_per_second,
        not_the_same=change.not_the_same,
    )


def _larger_card(sweep: Sweep, largest: Swept) -> list[str]:
    """The smallest entry of the whole catalogue that holds the step."""
    from rooflight.catalogue.load import catalogue

    dtype = sweep.trace.workload.dtype
    larger = [
        spec
        for spec in catalogue()
        if spec.memory_bytes > largest.spec.memory_bytes and dtype in spec.flops_per_second and sweep.memory(spec).fits
    ]
    if not larger:
        return []
    least = min(larger, key=lambda spec: spec.memory_bytes)
    return [f"a larger GPU: {least.name} with {show_bytes(least.memory_bytes)} holds it"]
