"""What becomes of every row: a prediction beside the measurement, or the reason why there is none."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.accuracy.cases import NotPredictedError, case
from benchmarks.accuracy.memory import ALLOCATOR, labels, peak
from benchmarks.accuracy.predict import Prediction, predict
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
        found += _outcomes(row, traces, shares, peers)
        if tell and time.monotonic() - said > 20:
            said = time.monotonic()
            tell(f"{number + 1} of {len(rows)} rows, now {row.model}")
    return found


def _outcomes(row: Row, traces: Traces, shares: Shares, peers: bool) -> list[Outcome]:
    label = row.metric == "max_fit_batch" or (row.metric == "peak_memory_gib" and row.source not in ALLOCATOR)
    try:
        one = case(row)
        traced = traces.get(one.recipe)
        if label:
            return [_outcome(row, float(ran), float(fits), metric="fits") for ran, fits in labels(one, traced)]
        if row.metric == "peak_memory_gib":
            return [_outcome(row, row.value, peak(one, traced))]
        return [_rate(row, predict(one, traces, shares, peers=peers), shares)]
    except NotPredictedError as reason:
        return [_outcome(row, row.value, None, str(reason), metric="fits" if label else row.metric)]


def _rate(row: Row, found: Prediction, shares: Shares) -> Outcome:
    """A predicted rate or time, and whether its interval held the measurement."""
    outcome = replace(_outcome(row, row.value, found.value), others=found.others)
    name = interval_class(row.task, found.step.bound_by)
    if name not in shares.intervals:
        return outcome
    low, high = shares.intervals[name]  # of measured over predicted rates
    ratio = found.value / row.value if row.metric == "ms_per_step" else row.value / found.value
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
