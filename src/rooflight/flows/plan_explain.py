"""Why a GPU is as fast as it is, in sentences from its estimate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rooflight.core.units import show_seconds
from rooflight.flows.plan_input import input_sentence

if TYPE_CHECKING:
    from rooflight.estimate.setting import Setting
    from rooflight.estimate.sweep import Sweep, Swept

NAMED = 3  # operator classes in a sentence
MACHINE = 8  # GPUs, as such machines are sold
WORTH_SAYING = 1.05  # a switch that gives less is not told

WAITS = {  # what a GPU waits for, as parallel.py calls it
    "tensor": "for the others' parts of products",
    "pipeline": "for what the next stages send",
    "bubble": "for its turn in the pipeline",
    "data": "for the other replicas",
}


def explain(sweep: Sweep, swept: Swept) -> str:
    """What bounds the step on one GPU, and which operators its time goes to."""
    from rooflight.estimate.breakdown import breakdown, operator_classes
    from rooflight.estimate.device import device

    one, name = swept.step, swept.spec.name
    parts = breakdown(
        sweep.columns,
        operator_classes(sweep.trace),
        device(swept.spec, sweep.shares),
        sweep.setting,
        sweep.shares,
    )
    most = ", ".join(f"{part.name} {100 * part.share:.0f} %" for part in parts[:NAMED])
    if sweep.feed is not None and swept.estimate.bound_by == "input":
        return input_sentence(swept.estimate, sweep.feed)
    if swept.shared is not None and swept.estimate.bound_by in ("network", "bubble"):
        bound = "the network" if swept.estimate.bound_by == "network" else "the bubble of its pipeline"
        waits = [(seconds, WAITS[reason]) for reason, seconds in swept.shared.waiting.items() if seconds > 0]
        told = ", ".join(f"{show_seconds(seconds)} {what}" for seconds, what in sorted(waits, reverse=True))
        return f"{name}: bound by {bound}: of a step's {show_seconds(swept.shared.seconds)} a GPU waits {told}."
    if one.bound_by == "launch" and one.host_seconds > one.gpu_seconds:
        return (
            f"{name}: launch-bound: the host takes {show_seconds(one.host_seconds)} to issue {len(sweep.trace.ops)} "
            f"operators that the GPU does in {show_seconds(one.gpu_seconds)}. "
            "Until the GPU is the slower, a larger batch costs no time."
        )
    share = one.by_bound[one.bound_by] / one.gpu_seconds
    what = {"compute": "arithmetic", "memory": "memory", "launch": "starting kernels"}[one.bound_by]
    return f"{name}: {one.bound_by}-bound: {100 * share:.0f} % of the GPU's time is {what}. By operator: {most}."


def faster_ways(sweep: Sweep, swept: Swept) -> list[str]:
    """What other switches of the software would give on this GPU, where it is worth saying.

    Nothing speeds up a step that waits for its input. One that waits for its host gets no figure for torch.compile:
    what a compiled step costs its host is not fitted.
    """
    from rooflight.estimate.device import device
    from rooflight.estimate.step import step

    if swept.estimate.bound_by == "input":
        return []
    gpu, setting = device(swept.spec, sweep.shares), sweep.setting
    options: list[tuple[str, Setting]] = []
    if not setting.channels_last and sweep.columns.kind("convolution").any():
        options.append(("channels last", replace(setting, channels_last=True)))
    waits = swept.step.host_seconds > swept.step.gpu_seconds
    if not setting.compiled and not waits:
        options.append(("torch.compile", replace(setting, compiled=True)))
    if len(options) == 2:
        options.append(("both", replace(setting, channels_last=True, compiled=True)))
    gains = [
        (name, swept.step.seconds / step(sweep.columns, gpu, other, sweep.shares).seconds) for name, other in options
    ]
    told = [f"{name} {gain:.2f}×" for name, gain in gains if gain >= WORTH_SAYING]
    lines = [f"On {swept.spec.name}, by the same estimate: {', '.join(told)} as fast."] if told else []
    if waits and not setting.compiled:
        lines.append("torch.compile takes work off the host; how much is not predicted, as no compiled run was fitted.")
    return lines


def box_sentence(swept: Swept, gpus: int) -> list[str]:
    """What the machine around so many of these GPUs needs; nothing where no TDP is known."""
    from rooflight.estimate.power import box

    found = box(swept.spec, min(gpus, MACHINE), swept.estimate.watts)
    if found is None:
        return []
    if gpus > MACHINE:
        machines, each = -(-gpus // MACHINE), "" if gpus % MACHINE == 0 else "up to "
        return [
            f"{gpus:,} × {swept.spec.name} are {machines:,} machines of {each}{MACHINE}: the GPUs draw "
            f"{_power(gpus * found.gpu_watts / MACHINE)} under this load; supply, circuit and cooling of each machine "
            f"should bear {_power(found.box_watts)} ({found.heat_btu_per_hour:,.0f} BTU/h), of all "
            f"{_power(machines * found.box_watts)}. Cooling: {found.cooling}."
        ]
    many, draw = (f"{gpus} × {swept.spec.name}", "GPUs draw") if gpus > 1 else (swept.spec.name, "GPU draws")
    return [
        f"A machine with {many}: the {draw} {_power(found.gpu_watts)} under this load; supply, circuit and cooling "
        f"should bear {_power(found.box_watts)} ({found.heat_btu_per_hour:,.0f} BTU/h), power supply "
        f"{_power(found.supply_watts)} or more. Cooling: {found.cooling}."
    ]


def _power(watts: float) -> str:
    """`5600` → "5,600 W", `80640` → "80.6 kW"."""
    return f"{watts:,.0f} W" if watts < 10_000 else f"{watts / 1000:,.1f} kW"
