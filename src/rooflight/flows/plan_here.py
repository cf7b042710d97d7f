"""This machine's row of a plan: its measured roof, and the step as this device runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.plans import PlanConfig
from rooflight.core.types import Estimate, GpuSpec, Machine, Task, Trace, Workload
from rooflight.flows.calibration import calibrated_roof
from rooflight.flows.plan_models import find_recipe, gpu_workload
from rooflight.flows.roof import find_roof

if TYPE_CHECKING:
    import torch

    from rooflight.models.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What this machine makes of the step."""

    roof: GpuSpec
    trace: Trace
    estimate: Estimate


def plan_here(config: PlanConfig, console: Console) -> Here | None:
    """This machine's estimate on its calibrated or measured roof; None if it may not be measured and has none.

    raises  ConfigError for a device that is not there, or a model that is not known
    """
    from rooflight.hardware.detect import detect
    from rooflight.hardware.process import keep_freed_memory
    from rooflight.train.device import dtype_name, pick_device, pick_dtype

    recipe = find_recipe(config)  # a wrong name is said before anything is measured
    where, why_device = pick_device(config.device)
    machine = detect()
    kind, why_dtype = pick_dtype(config.dtype, where, machine.cpu.isa)
    dtype = dtype_name(kind)
    console.say(f"device {where} ({why_device}), {dtype} ({why_dtype})")
    dtypes = tuple(dict.fromkeys(("float32", dtype)))
    if config.measure:
        if where.type == "cpu":
            for line in keep_freed_memory():  # the plan is for `train`, which sets the same
                console.say(line)
        roof = find_roof(where, machine, dtypes, console=console, calibration=config.calibration)
    else:
        found = _calibrated(config, where, machine, dtypes, console)
        if found is None:
            return None
        roof = found
    if recipe.note:
        console.say(recipe.note)
    workload = _workload(config, recipe, dtype)
    traced, estimate = predict_recipe(recipe, workload, roof, where)
    return Here(roof=roof, trace=traced, estimate=estimate)


def workload_of(model: str, *, task: Task, batch: int, dtype: str) -> Workload:
    """The model as `train` runs it: channels last, Adam. Raises ConfigError for an unknown model or batch below 1."""
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
    from rooflight.models.registry import find_model
    from rooflight.models.resolve import resolve

    entry = find_model(workload.model, workload.input_shape)
    recipe = replace(resolve(workload.model, workload.input_shape), build=lambda: entry.build(classes or entry.classes))
    return predict_recipe(recipe, workload, roof, device)


def predict_recipe(recipe: Recipe, workload: Workload, roof: GpuSpec, device: torch.device) -> tuple[Trace, Estimate]:
    """The trace of what the device runs, and what its measured roof makes of it."""
    from rooflight.estimate.roofline import estimate
    from rooflight.trace.tracer import trace

    traced = trace(
        recipe.build,
        workload,
        loss=recipe.loss,
        make_input=recipe.make_input,
        make_target=recipe.make_target,
        device="cuda" if device.type == "cuda" else "cpu",
    )
    return traced, estimate(traced, roof, asynchronous=device.type == "cuda")


def _calibrated(
    config: PlanConfig, where: torch.device, machine: Machine, dtypes: tuple[str, ...], console: Console
) -> GpuSpec | None:
    """The roof of an earlier calibration; None, and why is said, if there is none that fits."""
    if config.calibration == "none":
        return None
    file = None if config.calibration == "auto" else Path(config.calibration)
    roof, why = calibrated_roof(where, machine, dtypes, file)
    console.say(f"roof: {why}" if roof else f"this machine is left out, as it may not be measured: {why}")
    return roof


def _workload(config: PlanConfig, recipe: Recipe, dtype: str) -> Workload:
    """As `train` runs it here: eager, weights in float32, images in channels last."""
    asked = gpu_workload(config, recipe, dtype)
    return replace(asked, parameter_dtype="float32", compiled=False, channels_last=True)
