"""What a case is predicted to measure: from the trace of its recipe, its GPU and its setting to the row's metric."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import geometric_mean

from benchmarks.accuracy.baselines import plain_roofline, torch_estimator
from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.metrics import to_metric, unit_kind
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.several import several_seconds
from benchmarks.accuracy.traces import Traced, Traces
from rooflight.catalogue.find import called, find_published
from rooflight.core.errors import SpecError
from rooflight.core.types import GpuSpec
from rooflight.estimate.arithmetic import PRODUCT_KINDS
from rooflight.estimate.device import device
from rooflight.estimate.power import draw_watts
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
        match = sorted(called(name), key=lambda spec: spec.memory_bytes)
        if not match:
            raise NotPredictedError(f"GPU {name or 'not given'}: not in the catalogue") from error
        return match[-1]  # a name that leaves memory or form open: the largest of the cards it may be


def case_table(case: Case, traced: Traced, *, batch: float | None = None) -> OpTable:
    """The operators of the case's step, at its batch or another."""
    whole = traced.at(batch or case.batch)
    whole = whole if case.change is None else case.change(whole)
    return whole if case.recipe.optimizer or case.recipe.task == "infer" else without_phase(whole, "optimizer")


def case_step(case: Case, table: OpTable, spec: GpuSpec, shares: Shares) -> Step:
    """
    raises  NotPredictedError if the GPU lacks what the step computes in
    """
    try:
        return step(table, device(spec, shares), case.setting, shares)
    except SpecError as error:
        raise NotPredictedError(f"GPU {case.row.gpu}: {error}") from error


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One case on its GPUs: seconds and joules of a step, each GPU's, with what comes beside it."""

    step: Step
    seconds: float
    joules: float | None
    flops: float
    roofline_seconds: float | None


def run(case: Case, traces: Traces, shares: Shares) -> Run:
    """
    raises  NotPredictedError with the reason
    """
    spec, traced = gpu_spec(case.row.gpu), traces.get(case.recipe)
    where = known_machine(case.row, spec.name, shares)
    setting = replace(case.setting, slow_host=where.host, slow_gpu=where.gpu)
    table = case_table(case, traced)
    one = case_step(replace(case, setting=setting), table, spec, shares)
    seconds = one.seconds
    if case.row.gpus > 1:
        seconds = several_seconds(case, table, traced.parameters, one, spec, setting, shares)
    watts = draw_watts(spec, replace(one, seconds=seconds))
    found = Run(
        step=one,
        seconds=seconds,
        joules=None if watts is None else watts * seconds,
        flops=float(table.flops[table.kind(*PRODUCT_KINDS)].sum()),
        roofline_seconds=plain_roofline(case, table, spec),
    )
    for other, share in case.beside:
        found = _with(found, run(other, traces, shares), share)
    return found


def _with(one: Run, other: Run, share: float) -> Run:
    """A step, and so much of another that comes with it."""

    def both(first: float | None, second: float | None) -> float | None:
        return None if first is None or second is None else first + share * second

    return replace(
        one,
        seconds=one.seconds + share * other.seconds,
        joules=both(one.joules, other.joules),
        flops=one.flops + share * other.flops,
        roofline_seconds=both(one.roofline_seconds, other.roofline_seconds),
    )


def predict(case: Case, traces: Traces, shares: Shares, *, peers: bool = False) -> Prediction:
    """
    peers   run torch's RuntimeEstimator too, where it knows the device: seconds per row
    raises  NotPredictedError with the reason
    """
    found = run(case, traces, shares)
    others: dict[str, float | None] = {}
    if case.row.gpus == 1 and unit_kind(case.row.metric) in ("rate", "time"):
        others["plain roofline"] = found.roofline_seconds
        if peers and not case.beside:
            others["torch RuntimeEstimator"] = torch_estimator(case, gpu_spec(case.row.gpu))
    watts = None if found.joules is None else found.joules / found.seconds
    return Prediction(
        value=to_metric(case, found.seconds, watts=watts, flops=found.flops),
        step=found.step,
        others={name: to_metric(case, seconds, flops=found.flops) for name, seconds in others.items() if seconds},
    )
