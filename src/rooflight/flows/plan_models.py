"""From a model's name and the settings to traces; or from a saved trace, without torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import from_json, read_json
from rooflight.core.errors import ConfigError
from rooflight.core.plans import PlanConfig, TraceSummary
from rooflight.core.types import Trace, Workload

if TYPE_CHECKING:
    from rooflight.models.recipe import Recipe

CHANNELS_LAST = ("cnn", "transfer:vgg16")  # as train runs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A step at the batch asked for, and at another one, from which other batches follow; None: not known."""

    whole: Trace
    other: Trace | None = None


def is_saved(model: str) -> bool:
    """Does the name stand for a trace that was saved?"""
    return model == "-" or model.endswith(".json")


def saved(config: PlanConfig) -> Traced:
    """The trace in a file or on stdin, with the settings that a trace does not depend on.

    raises  ConfigError if it is none, or is of another batch, task or dtype than a flag asks for
    """
    if config.model == "-":
        trace = from_json(Trace, sys.stdin.read(), what="stdin")
    else:
        trace = read_json(Trace, Path(config.model))
    held = trace.workload
    asked = {"batch": config.batch, "task": config.task, "dtype": config.dtype}
    for name, value in asked.items():
        usual = PlanConfig.__dataclass_fields__[name].default
        if value not in (usual, getattr(held, name)):
            raise ConfigError(
                f"the trace in {config.model} is of {name} {getattr(held, name)}, asked was {value}. Trace the model "
                f"again with --{name} {value}."
            )
    run = replace(
        held,
        channels_last=held.channels_last or config.channels_last,
        compiled=config.compile,
        gpus=config.gpus,
    )
    return Traced(whole=replace(trace, workload=run))


def traced(config: PlanConfig, dtype: str, *, alone: bool = False) -> Traced:
    """The model's step at the batch asked for and, unless it is wanted alone, at another, as a CUDA GPU runs it.

    raises  ConfigError for an unknown model, TraceError for one that cannot be traced
    """
    recipe = find_recipe(config)
    workload = gpu_workload(config, recipe, dtype)
    whole = trace_of(recipe, workload)
    return Traced(whole=whole, other=None if alone else trace_of(recipe, other_batch(workload)))


def trace_of(recipe: Recipe, workload: Workload) -> Trace:
    """One step of the recipe's model, fed and judged as the recipe says."""
    from rooflight.trace.tracer import trace

    return trace(recipe.build, workload, loss=recipe.loss, make_input=recipe.make_input, make_target=recipe.make_target)


def gpu_workload(config: PlanConfig, recipe: Recipe, dtype: str) -> Workload:
    """The settings as a workload. Weights are float32 to train and, to infer, of the products' dtype."""
    weights = config.parameter_dtype
    if weights == "auto":
        weights = "float32" if config.task == "train" or dtype == "tfloat32" else dtype  # type: ignore[assignment]
    return Workload(
        model=config.model,
        task=config.task,
        batch=config.batch,
        input_shape=recipe.input_shape,
        dtype=dtype,
        optimizer=optimizer_of(config),
        channels_last=config.channels_last or config.model in CHANNELS_LAST,
        parameter_dtype=weights,
        accumulation=config.accumulation,
        checkpointing=config.checkpointing,
        trainable=config.trainable,
        generation=config.generation,
        compiled=config.compile,
        gpus=config.gpus,
    )


def optimizer_of(config: PlanConfig) -> str | None:
    """None for inference."""
    if config.task == "infer":
        return None
    return "adam" if config.optimizer == "auto" else config.optimizer


def other_batch(workload: Workload) -> Workload:
    """Half the batch, where it can be halved; else twice. Both go through in as many micro-batches."""
    half = workload.batch // 2
    whole = half if half >= workload.accumulation and half % workload.accumulation == 0 else 2 * workload.batch
    return replace(workload, batch=whole)


def find_recipe(config: PlanConfig) -> Recipe:
    """The model of that name, for the length of text or the size of image that the flags ask for.

    raises  ConfigError for an unknown model, or for a length of images or a size of texts
    """
    from rooflight.models.resolve import resolve

    size, length = config.image_size, config.seq_len
    if size is None and length is None:
        return resolve(config.model)
    if size is not None and length is not None:
        raise ConfigError("--seq-len is for texts and --image-size for images: give the one that the model takes.")
    shape = (3, size, size) if size is not None else (length or 0,)
    if ".py:" in config.model:
        return resolve(config.model, shape)  # the file need not say it then
    usual = resolve(config.model).input_shape
    if (len(usual) == 1) != (len(shape) == 1):
        takes = "texts: try --seq-len" if len(usual) == 1 else "images: try --image-size"
        raise ConfigError(f"{config.model} takes samples of {usual}, {takes}.")
    return resolve(config.model, shape if len(usual) == 1 else (*usual[:-2], *shape[1:]))


def summary(trace: Trace) -> TraceSummary:
    """The sums of a trace."""
    return TraceSummary(
        flops=trace.flops, bytes=trace.bytes, parameters=trace.parameters, parameter_bytes=trace.parameter_bytes
    )
