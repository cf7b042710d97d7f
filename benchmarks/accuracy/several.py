"""Seconds of a case on several GPUs: which form its source runs in, and what its ranks send each other."""

import re
from typing import Literal

from benchmarks.accuracy.cases import Case, NotPredictedError
from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel
from rooflight.core.types import GpuSpec
from rooflight.estimate.collectives import Group, seconds
from rooflight.estimate.fabric import fabric
from rooflight.estimate.parallel import Weights, threads_seconds
from rooflight.estimate.setting import Setting
from rooflight.estimate.several import several
from rooflight.estimate.shares import Shares
from rooflight.estimate.step import Step
from rooflight.estimate.table import OpTable


def several_seconds(
    case: Case, table: OpTable, parameters: float, one: Step, spec: GpuSpec, setting: Setting, shares: Shares
) -> float:
    """
    table       of one micro-batch of one GPU
    raises      NotPredictedError if the row does not say how its GPUs work together, or in a form that is not predicted
    """
    gpus = case.row.gpus
    if case.parallel == "threads":
        size = parameters * _item(case)
        return threads_seconds(
            one, gpus, spec, gradient_bytes=size * (case.recipe.task == "train"), parameter_bytes=size
        )
    if case.parallel is None:
        raise NotPredictedError("several GPUs, and no word of how they work together")
    if case.parallel == "split":
        group, joined = Group(ranks=gpus), fabric(spec)
        # A case counts what a ring sends: 2·(n − 1) / n of what is added up.
        added = [sent * gpus / (2 * (gpus - 1)) for sent in case.exchanged]
        return one.seconds + sum(seconds("all_reduce", size, group, joined) for size in added)
    form, weights = form_of(case), weights_of(case, parameters)
    try:
        found = several(table, weights, form, spec, setting, shares).shared.seconds
    except ConfigError as error:
        raise NotPredictedError(str(error)) from error
    return found / form.micro_batches


def form_of(case: Case) -> Parallel:
    """The form that GPUs share a step in, each with a batch of its own."""
    sharding = _sharding(case) if case.parallel == "sharded" else "none"
    return Parallel(data=case.row.gpus, sharding=sharding, micro_batches=micro_batches(case))


def weights_of(case: Case, parameters: float) -> Weights:
    """What its ranks send each other."""
    item, trains = _item(case), case.recipe.task == "train"
    return Weights(
        gathered=parameters * (2 if case.parallel == "sharded" else item),
        reduced=parameters * trainable_share(case) * item * trains,
        parameters=parameters,
    )


def _item(case: Case) -> int:
    return 4 if case.recipe.weights == "float32" else 2


def micro_batches(case: Case) -> int:
    """How many a step has: llm-foundry's rows say so, Qwen's finetune.py has 8. Rows' batches are one micro-batch."""
    told = re.search(r"grad_accum=(\d+)", case.row.notes)
    return int(told[1]) if told else round(case.repeats)


def trainable_share(case: Case) -> float:
    """Of the parameters: those of adapters are a thousandth or so."""
    return 1.0 if case.recipe.trainable == "all" else 0.002


def _sharding(case: Case) -> Literal["gradients", "parameters"]:
    """llm-foundry's SHARD_GRAD_OP keeps the weights whole."""
    return "gradients" if "SHARD_GRAD_OP" in case.row.notes else "parameters"
