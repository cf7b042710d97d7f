"""What becomes of every row: a prediction beside the measurement, or the reason why there is none."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from benchmarks.accuracy.cases import Case, NotPredictedError, Recipe, case
from benchmarks.accuracy.memory import ALLOCATOR, labels, peak
from benchmarks.accuracy.metrics import unit_kind
from benchmarks.accuracy.predict import Prediction, gpu_spec, predict
from benchmarks.accuracy.ratios import with_ratios
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.score import Outcome
from benchmarks.accuracy.traces import Traces
from rooflight.estimate.shares import Shares, interval_class


def outcomes(
    rows: Sequence[Row],
    traces: Traces,
    shares: Shares,
    *,
    peers: bool = False,
    tell: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """The outcome of every row, in order; a row that tells which batches fit has one per batch."""
    found, said = [], time.monotonic()
    for number, row in enumerate(rows):
        found += [(row, one) for one in _outcomes(row, traces, shares, peers)]
        if tell and time.monotonic() - said > 20:
            said = time.monotonic()
            tell(f"{number + 1} of {len(rows)} rows, now {row.model}")
    return with_ratios(found)


def recipes(rows: Sequence[Row]) -> list[Recipe]:
    """Everything that these rows need traced, each once."""
    found: dict[Recipe, None] = {}
    for row in rows:
        try:
            found.update(dict.fromkeys(_recipes(case(row))))
        except Exception:  # its outcome will say why
            continue
    return list(found)


def _recipes(one: Case) -> Iterator[Recipe]:
    yield one.recipe
    for other, _ in one.beside:
        yield from _recipes(other)


def _outcomes(row: Row, traces: Traces, shares: Shares, peers: bool) -> list[Outcome]:
    label = row.metric == "max_fit_batch" or (row.metric == "peak_memory_gib" and row.source not in ALLOCATOR)
    name = "fits" if label else row.metric
    try:
        if row.value is None:
            raise NotPredictedError("no measured value is given")
        spec, one = gpu_spec(row.gpu), case(row)
        traced = traces.get(one.recipe)
        if label:
            return [_outcome(row, float(ran), float(fits), metric="fits") for ran, fits in labels(one, traced)]
        if row.metric == "peak_memory_gib":
            return [_outcome(row, row.value, peak(one, traced))]
        found = _rate(row, predict(one, traces, shares, peers=peers), shares)
        return [replace(found, seen=any(machine.endswith(f" {spec.name}") for machine in shares.machines))]
    except NotPredictedError as reason:
        return [_outcome(row, row.value or 0.0, None, str(reason), metric=name)]
    except Exception as error:  # a row of an unknown file may go wrong in any way: it is counted, and the rest goes on
        return [
            _outcome(row, row.value or 0.0, None, f"went wrong: {type(error).__name__}: {error}"[:200], metric=name)
        ]


def _rate(row: Row, found: Prediction, shares: Shares) -> Outcome:
    """A predicted figure; of a rate or a time, whether its interval held the measurement too."""
    measured = row.value or 0.0
    outcome = replace(_outcome(row, measured, found.value), others=found.others)
    name, kind = interval_class(row.task, found.step.bound_by), unit_kind(row.metric)
    if name not in shares.intervals or kind not in ("rate", "time"):
        return outcome
    low, high = shares.intervals[name]  # of measured over predicted rates
    ratio = found.value / measured if kind == "time" else measured / found.value
    return replace(outcome, inside=low <= ratio <= high)


def _outcome(
    row: Row, measured: float, predicted: float | None, reason: str | None = None, metric: str | None = None
) -> Outcome:
    return Outcome(
        source=row.source,
        gpu=row.gpu,
        gpus=row.gpus,
        task=row.task,
        precision=row.precision or "",
        metric=metric or row.metric,
        model=row.model,
        measured=measured,
        predicted=predicted,
        reason=reason,
    )
