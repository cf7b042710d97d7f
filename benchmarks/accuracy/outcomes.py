"""What becomes of every row: a prediction beside the measurement, or the reason why there is none."""

import time
from collections.abc import Callable, Sequence

from benchmarks.accuracy.cases import Case, NotPredicted, case
from benchmarks.accuracy.predict import predict
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.score import Outcome
from benchmarks.accuracy.traces import Traces
from rooflight.estimate.shares import Shares

LABELS = ("max_fit_batch",)


def outcomes(
    rows: Sequence[Row], traces: Traces, shares: Shares, *, tell: Callable[[str], None] | None = None
) -> list[Outcome]:
    """One outcome per row, in order."""
    found, said = [], time.monotonic()
    for number, row in enumerate(rows):
        found.append(_outcome(row, traces, shares))
        if tell and time.monotonic() - said > 20:
            said = time.monotonic()
            tell(f"{number + 1} of {len(rows)} rows, now {row.model}")
    return found


def _outcome(row: Row, traces: Traces, shares: Shares) -> Outcome:
    try:
        one = case(row)
        value = predict(one, traces, shares)
    except NotPredicted as reason:
        return _without(row, str(reason))
    return Outcome(**_common(row), predicted=value)


def _without(row: Row, reason: str) -> Outcome:
    return Outcome(**_common(row), predicted=None, reason=reason)


def _common(row: Row) -> dict:
    return {
        "source": row.source,
        "gpu": row.gpu,
        "gpus": row.gpus,
        "task": row.task,
        "precision": row.precision or "",
        "metric": row.metric,
        "measured": row.value,
        "model": row.model,
    }
