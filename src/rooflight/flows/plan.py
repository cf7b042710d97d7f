"""`rooflight plan`: what a step will take, before it is run. First form: on this machine's measured roofline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.tables import Report, Table
from rooflight.core.types import Estimate, GpuSpec, Task, Trace, Workload
from rooflight.core.units import show_bytes, show_count, show_flops, show_percent, show_rate, show_seconds
from rooflight.flows.roof import find_roof

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """The sums of a trace."""

    flops: int
    bytes: int
    parameters: int
    parameter_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `plan --json` prints."""

    workload: Workload
    trace: TraceSummary
    roof: GpuSpec
    estimates: tuple[Estimate, ...]


def plan(
    *,
    model: str = "cnn",
    task: Task = "train",
    batch: int = 64,
    dtype: str = "auto",
    device: str = "auto",
    calibration: str = "auto",
    console: Console | None = None,
) -> Report:
    """Time, memory and what bounds them for one step of the model on this machine.

    calibration  "auto": this machine's roof as `bench calibrate` left it, if it fits; "none": measured now; or a file
    """
    from rooflight.hardware.detect import detect
    from rooflight.hardware.process import keep_freed_memory
    from rooflight.train.device import dtype_name, pick_device, pick_dtype

    console = console or Silent()
    workload_of(model, task=task, batch=batch, dtype=dtype)  # a wrong name is said before anything is measured
    where, why_device = pick_device(device)
    machine = detect()
    kind, why_dtype = pick_dtype(dtype, where, machine.cpu.isa)
    if where.type == "cpu":
        for line in keep_freed_memory():  # the plan is for `train`, which sets the same
            console.say(line)
    console.say(f"device {where} ({why_device}), {dtype_name(kind)} ({why_dtype})")
    asked = workload_of(model, task=task, batch=batch, dtype=dtype_name(kind))
    dtypes = tuple(dict.fromkeys(("float32", asked.dtype)))
    roof = find_roof(where, machine, dtypes, console=console, calibration=calibration)
    traced, predicted = predict_step(asked, roof, where)
    summary = TraceSummary(
        flops=traced.flops, bytes=traced.bytes, parameters=traced.parameters, parameter_bytes=traced.parameter_bytes
    )
    answer = Plan(workload=asked, trace=summary, roof=roof, estimates=(predicted,))
    notes = (_sentence(answer), *(f"assumed: {line}" for line in predicted.assumptions))
    return Report(answer=answer, tables=(_table(answer),), notes=notes, exit_code=0 if predicted.fits else 1)


def workload_of(model: str, *, task: Task, batch: int, dtype: str) -> Workload:
    """The model as `train` runs it: channels last, Adam. Raises ConfigError for an unknown model or batch below 1."""
    from rooflight.core.errors import ConfigError
    from rooflight.models.registry import find_model

    if batch < 1:
        raise ConfigError(f"--batch {batch}: it must be 1 or more.")
    return Workload(
        model=model,
        task=task,
        batch=batch,
        input_shape=find_model(model).input_shape,
        dtype=dtype,
        optimizer="adam" if task == "train" else None,
        channels_last=True,
    )


def predict_step(
    workload: Workload, roof: GpuSpec, device: torch.device, classes: int | None = None
) -> tuple[Trace, Estimate]:
    """The workload's trace, and what the device makes of it. classes: None for as many as the classic model has."""
    from rooflight.estimate.roofline import estimate
    from rooflight.models.registry import find_model
    from rooflight.trace.inputs import images, tokens
    from rooflight.trace.tracer import trace

    entry = find_model(workload.model)
    make_input = images if entry.words is None else tokens
    traced = trace(
        lambda: entry.build(classes or entry.classes),
        workload,
        make_input=make_input,
        device="cuda" if device.type == "cuda" else "cpu",
    )
    return traced, estimate(traced, roof, asynchronous=device.type == "cuda")


def _table(plan: Plan) -> Table:
    rows = []
    for row in plan.estimates:
        cells = (
            row.gpu,
            "yes" if row.fits else "no",
            show_bytes(row.peak_bytes),
            show_seconds(row.step_seconds),
            show_rate(row.samples_per_second),
            row.bound_by,
            show_percent(row.mfu),
        )
        rows.append(cells)
    columns = ("device", "fits", "peak memory", "step", "throughput", "bound by", "MFU")
    return Table(columns=columns, rows=tuple(rows))


def _sentence(plan: Plan) -> str:
    work = plan.workload
    return (
        f"{work.model}, {work.task}, batch {work.batch}, {work.dtype}: {show_count(plan.trace.parameters)} parameters, "
        f"{show_flops(plan.trace.flops)} and {show_bytes(plan.trace.bytes)} moved a step."
    )
