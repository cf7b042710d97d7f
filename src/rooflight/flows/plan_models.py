"""From a model's name and the settings to traces; or from a saved trace, without torch."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import from_json, from_plain
from rooflight.core.errors import ConfigError
from rooflight.core.plans import BATCH, PlanConfig, StepPeak, TraceSummary
from rooflight.core.types import Trace, Workload
from rooflight.flows.plan_checks import refuse_impossible
from rooflight.flows.plan_form import form_of, micro_batch, shared_workload

if TYPE_CHECKING:
    from rooflight.estimate.affine import TraceFamily
    from rooflight.models.recipe import Recipe

CHANNELS_LAST = ("cnn", "transfer:vgg16")  # as train runs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A step at the batch asked for, and at another one, from which other batches follow; None: not known."""

    whole: Trace
    other: Trace | None = None
    notes: tuple[str, ...] = ()  # on the model


def is_saved(model: str) -> bool:
    """Does the name stand for a trace that was saved?"""
    return model == "-" or model.endswith(".json")


def saved(config: PlanConfig) -> Traced:
    """What a file or stdin holds, with the settings that a trace does not depend on: a trace, or one of every batch.

    raises  ConfigError if it is neither, holds a number that cannot be, or is of another batch, task or dtype than a
            flag asks for
    """
    from rooflight.estimate.affine import TraceFamily, at_batch

    form = form_of(config)
    batch = None if config.batch is None else micro_batch(config.batch, form)
    what = "stdin" if config.model == "-" else config.model
    plain = from_json(object, sys.stdin.read() if config.model == "-" else _read(config.model), what=what)
    if isinstance(plain, dict) and "base" in plain:
        family = from_plain(TraceFamily, plain, what=what)
        refuse_impossible(family.base, what)
        whole = at_batch(family, batch or family.base.workload.batch + family.samples)
        other = at_batch(family, other_batch(whole.workload).batch)
    else:
        whole, other = from_plain(Trace, plain, what=what), None
        _check(config, "batch", batch, whole.workload.batch)
    for step in filter(None, (whole, other)):
        refuse_impossible(step, what)
    held = whole.workload
    _check(config, "task", None if config.task == "train" else config.task, held.task)
    _check(config, "dtype", None if config.dtype == "auto" else config.dtype, held.dtype)
    _check_settings(config, held)
    run = replace(
        held,
        channels_last=held.channels_last or config.channels_last,
        compiled=config.compile,
        graphed=config.cuda_graphs,
        parallel=form,
    )
    return Traced(whole=replace(whole, workload=run), other=other)


def every_batch(config: PlanConfig, dtype: str) -> Trace | TraceFamily:
    """What is worth saving: the step at every batch, where a third trace agrees with two; else at the one asked for."""
    from rooflight.core.errors import TraceError
    from rooflight.estimate.affine import family

    found = traced(config, dtype)
    whole, other = found.whole, found.other
    if other is None or other.workload.batch > whole.workload.batch:
        return whole
    third = replace(whole.workload, batch=whole.workload.batch + whole.workload.accumulation)
    try:
        agreed = family(other, whole, trace_of(find_recipe(config), third))
    except TraceError:
        return whole
    return whole if agreed.not_affine else agreed


def _check_settings(config: PlanConfig, held: Workload) -> None:
    """A flag that a trace depends on is not passed over in silence."""
    weights = config.parameter_dtype
    _check(config, "optimizer", None if config.optimizer == "auto" else config.optimizer, held.optimizer)
    _check(config, "parameter-dtype", None if weights == "auto" else weights, held.parameter_dtype)
    _check(config, "checkpointing", True if config.checkpointing else None, held.checkpointing)
    _check(config, "trainable", None if config.trainable == "all" else config.trainable, held.trainable)
    _check(config, "generation", config.generation, held.generation)
    if config.gpus == 1 and config.accumulation > 1:  # of several, micro-batches are the form's
        _check(config, "accumulation", config.accumulation, held.accumulation)
    of_text = len(held.input_shape) == 1
    for name, value, meant in (("seq-len", config.seq_len, of_text), ("image-size", config.image_size, not of_text)):
        if value is not None and (value != held.input_shape[-1] or not meant):
            raise ConfigError(
                f"--{name} {value}: {config.model} is a trace of samples of {held.input_shape}. Trace the model again "
                f"with --{name} {value}."
            )


def _check(config: PlanConfig, name: str, asked: object, held: object) -> None:
    if asked is not None and asked != held:
        flag = f"--{name}" if asked is True else f"--{name} {asked}"
        raise ConfigError(
            f"the trace in {config.model} is of {name} {held}, asked was {asked}. Trace the model again with {flag}."
        )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text in UTF-8.") from None


def traced(config: PlanConfig, dtype: str, *, alone: bool = False) -> Traced:
    """The model's step at the batch asked for and, unless it is wanted alone, at another, as a CUDA GPU runs it.

    raises  ConfigError for an unknown model, TraceError for one that cannot be traced
    """
    recipe = find_recipe(config)
    workload = gpu_workload(config, recipe, dtype)
    whole = trace_of(recipe, workload)
    other = None if alone else trace_of(recipe, other_batch(workload))
    return Traced(whole=whole, other=other, notes=(recipe.note,) if recipe.note else ())


def trace_of(recipe: Recipe, workload: Workload) -> Trace:
    """One step of the recipe's model, fed and judged as the recipe says."""
    from rooflight.trace.tracer import trace

    return trace(recipe.build, workload, loss=recipe.loss, make_input=recipe.make_input, make_target=recipe.make_target)


def gpu_workload(config: PlanConfig, recipe: Recipe, dtype: str) -> Workload:
    """The settings as a workload. Weights are float32 to train and, to infer, of the products' dtype."""
    if config.generation is not None and config.task == "train":
        raise ConfigError(f"--generation {config.generation} is inference. Try it with --task infer.")
    weights = config.parameter_dtype
    if weights == "auto":
        weights = "float32" if config.task == "train" or dtype == "tfloat32" else dtype  # type: ignore[assignment]
    workload = Workload(
        model=config.model,
        task=config.task,
        batch=config.batch or BATCH,
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
        graphed=config.cuda_graphs,
    )
    return shared_workload(workload, form_of(config))


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
    if ".py:" in config.model or config.model.endswith(".keras"):
        return resolve(config.model, shape)  # the file need not say it then
    usual = resolve(config.model).input_shape
    if (len(usual) == 1) != (len(shape) == 1):
        takes = "texts: try --seq-len" if len(usual) == 1 else "images: try --image-size"
        raise ConfigError(f"{config.model} takes samples of {usual}, {takes}.")
    return resolve(config.model, shape if len(usual) == 1 else (*usual[:-2], *shape[1:]))


def step_peak(trace: Trace) -> StepPeak | None:
    """When the tensors of one GPU's step take most; None for a step that several share, of which each has a part."""
    from rooflight.estimate.memory import peak

    if trace.workload.parallel.gpus > 1:
        return None
    found = peak(trace)
    return StepPeak(
        bytes=found.bytes,
        phase=trace.ops[found.op].phase,
        op=found.op,
        ops=len(trace.ops),
        op_name=found.op_name,
        by_role=found.by_role,
    )


def summary(trace: Trace) -> TraceSummary:
    """The sums of a trace."""
    return TraceSummary(
        flops=trace.flops, bytes=trace.bytes, parameters=trace.parameters, parameter_bytes=trace.parameter_bytes
    )
