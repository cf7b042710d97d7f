"""What a case is predicted to measure: from the trace of its recipe, its GPU and its setting to the row's metric."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import geometric_mean

from benchmarks.accuracy.baselines import plain_roofline, torch_estimator
from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.traces import Traced, Traces
from rooflight.catalogue.find import find_published
from rooflight.core.errors import SpecError
from rooflight.core.types import GpuSpec
from rooflight.estimate.device import device
from rooflight.estimate.parallel import Gang, gang_seconds
from rooflight.estimate.shares import Machine, Shares
from rooflight.estimate.step import Step, step
from rooflight.estimate.table import OpTable, without_phase


@lru_cache(maxsize=512)
def gpu_spec(name: str) -> GpuSpec:
    """
    raises  NotPredictedError if the catalogue has no GPU of this name
    """
    try:
        return find_published(name)
    except SpecError as error:
        raise NotPredictedError(f"GPU {name}: not in the catalogue") from error


def case_table(case: Case, traced: Traced, *, batch: float | None = None) -> OpTable:
    """The operators of the case's step, at its batch or another."""
    whole = traced.at(batch or case.batch)
    return whole if case.recipe.optimizer or case.recipe.task == "infer" else without_phase(whole, "optimizer")


def case_step(case: Case, table: OpTable, spec: GpuSpec, shares: Shares) -> Step:
    """
    raises  NotPredictedError if the GPU lacks what the step computes in
    """
    try:
        return step(table, device(spec, shares), case.setting, shares)
    except SpecError as error:
        raise NotPredictedError(f"GPU {case.row.gpu}: {error}") from error


def to_metric(case: Case, seconds: float) -> float:
    """Seconds of a step in the unit that the row counts in.

    raises  NotPredictedError for a metric without a rule
    """
    samples = case.batch * case.per_sample * case.row.gpus
    if case.row.metric == "ms_per_step":
        return 1000.0 * seconds * case.repeats
    if case.row.metric in ("samples_per_s", "tokens_per_s"):
        return samples / seconds
    if case.row.metric == "mfu":
        return _mfu(case, samples / seconds)
    raise NotPredictedError(f"metric {case.row.metric} is not predicted")


def _mfu(case: Case, tokens_per_second: float) -> float:
    """Percent of the dense peak, as llm-foundry counts it: 6 FLOPs per parameter and token and those of attention.

    source  llm-foundry scripts/train/benchmarking/README.md: 6·parameters·tokens + 12·layers·width·T per token
    """
    from benchmarks.accuracy.zoo.gpt import SHAPES

    name = case.recipe.model.removeprefix("gpt:")
    parameters = re.search(r"params=(\d+)", case.row.notes)
    if name not in SHAPES or not parameters:
        raise NotPredictedError("MFU of a model without dimensions")
    shape, length = SHAPES[name], case.recipe.input_shape[0]
    flops = 6.0 * int(parameters[1]) + 12.0 * shape.layers * shape.width * length
    peak = gpu_spec(case.row.gpu).flops_per_second["bfloat16"] * case.row.gpus
    return 100.0 * flops * tokens_per_second / peak


def case_seconds(case: Case, traced: Traced, one: Step, spec: GpuSpec) -> float:
    """Seconds of the step on all of the case's GPUs.

    raises  NotPredictedError if the row does not say how they work together
    """
    if case.row.gpus == 1:
        return one.seconds
    if case.parallel is None:
        raise NotPredictedError("several GPUs, and no word of how they work together")
    training = case.recipe.task == "train"
    item = 2 if case.recipe.weights != "float32" else 4
    gathered = 2 if case.parallel == "sharded" else item
    return gang_seconds(
        one,
        Gang(gpus=case.row.gpus, how=case.parallel),
        spec,
        gradient_bytes=traced.parameters * item * training,
        parameter_bytes=traced.parameters * gathered,
    )


def machine(source: str, path: str, gpu: str) -> str:
    """The name of the machine that a source measured a GPU in, as far as one can tell: its folders are of several."""
    return f"{source}/{path.split('/')[0]} {gpu}"


def known_machine(row: Row, gpu: str, shares: Shares) -> Machine:
    """The row's machine if the fit has seen it, else the middling one of its source and GPU, of its source, of all."""
    if (name := machine(row.source, row.path, gpu)) in shares.machines:
        return shares.machines[name]
    of_source = {name: one for name, one in shares.machines.items() if name.startswith(f"{row.source}/")}
    same = [one for name, one in of_source.items() if name.endswith(f" {gpu}")]
    if same:
        return Machine(host=geometric_mean([one.host for one in same]), gpu=geometric_mean([one.gpu for one in same]))
    return Machine(host=geometric_mean([one.host for one in of_source.values()])) if of_source else Machine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """In the row's metric; the step on one GPU behind it; what other methods make of it, by their names."""

    value: float
    step: Step
    others: Mapping[str, float]


def predict(case: Case, traces: Traces, shares: Shares, *, peers: bool = False) -> Prediction:
    """
    peers   run torch's RuntimeEstimator too, where it knows the device: seconds per row
    raises  NotPredictedError with the reason
    """
    spec, traced = gpu_spec(case.row.gpu), traces.get(case.recipe)
    where = known_machine(case.row, spec.name, shares)
    setting = replace(case.setting, slow_host=where.host, slow_gpu=where.gpu)
    table = case_table(case, traced)
    one = case_step(replace(case, setting=setting), table, spec, shares)
    others = {"plain roofline": plain_roofline(case, table, spec)}
    if peers and case.row.gpus == 1:
        others["torch RuntimeEstimator"] = torch_estimator(case, spec)
    return Prediction(
        value=to_metric(case, case_seconds(case, traced, one, spec)),
        step=one,
        others={name: to_metric(case, found) for name, found in others.items() if found and case.row.gpus == 1},
    )
