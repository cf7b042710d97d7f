"""What to do when a step fits no GPU that was asked for, worked out rather than guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rooflight.core.plans import Plan, PlanConfig
from rooflight.core.units import show_bytes, show_percent
from rooflight.flows.plan_models import is_saved, traced

if TYPE_CHECKING:
    from rooflight.estimate.sweep import Sweep, Swept


def ways_out(plan: Plan, config: PlanConfig, sweep: Sweep | None, found: Sequence[Swept]) -> list[str]:
    """A sentence of what was found, and one for each way that leads to a step that fits."""
    if not plan.estimates:
        return ["No GPU of the catalogue is left. Try fewer limits."]
    least = min(row.peak_bytes for row in plan.estimates)
    if sweep is None or not found:
        return [f"It does not fit this machine: it peaks at {show_bytes(least)}. Try a smaller --batch."]
    largest = max(found, key=lambda swept: swept.spec.memory_bytes)
    who = "no GPU that was asked for" if config.gpu else "no GPU of the catalogue that is left"
    said = (
        f"It fits {who}: it peaks at {show_bytes(least)}, and the largest, {largest.spec.name}, has "
        f"{show_bytes(largest.spec.memory_bytes)}."
    )
    ways = [
        *_smaller_batch(largest),
        *_checkpointing(plan, config, sweep, largest),
        *_larger_card(config, sweep, largest),
    ]
    return [said, *(f"Try {way}." for way in ways)] if ways else [f"{said} Try a smaller model, or another --dtype."]


def _smaller_batch(largest: Swept) -> list[str]:
    most = largest.estimate.max_batch
    if not most:
        return []
    return [f"--batch {most} on {largest.spec.name}, the largest that fits there"]


def _checkpointing(plan: Plan, config: PlanConfig, sweep: Sweep, largest: Swept) -> list[str]:
    """The step once more with checkpointing: its memory, and its price in time, on the same GPU."""
    from rooflight.core.errors import RooflightError
    from rooflight.flows.plan_catalogue import sweep_of

    work = plan.workload
    if work.task != "train" or work.checkpointing or is_saved(config.model):
        return []
    try:
        again = sweep_of(traced(replace(config, checkpointing=True), work.dtype, alone=True), config)
    except RooflightError:
        return []  # a model without blocks that repeat has nothing to checkpoint
    less = again.estimate(largest.spec)
    if not less.estimate.fits:
        return []
    slower = less.estimate.step_seconds / largest.estimate.step_seconds - 1
    return [
        f"--checkpointing: it peaks at {show_bytes(less.estimate.peak_bytes)} on {largest.spec.name}, and a step takes "
        f"{show_percent(slower)} longer"
    ]


def _larger_card(config: PlanConfig, sweep: Sweep, largest: Swept) -> list[str]:
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
