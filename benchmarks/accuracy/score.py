"""Errors of predictions, by group: coverage, median and 90th percentile of the absolute error, signed bias."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one row. predicted is None where there is a reason instead.

    inside   did the interval that comes with the prediction hold the measurement? None: it came with none
    others   the same figure as other methods predict it, by their names
    seen     the fit has rows of this GPU
    """

    source: str
    gpu: str
    gpus: int
    task: str
    precision: str
    metric: str
    measured: float
    predicted: float | None
    reason: str | None = None
    inside: bool | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    model: str = ""
    seen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One group. Errors are |predicted − measured| / measured; bias is the median of the signed ones."""

    group: Mapping[str, str]
    rows: int
    predicted: int
    coverage: float
    median_error: float | None
    p90_error: float | None
    bias: float | None
    inside: float | None  # share of the measurements within low and high
    others: Mapping[
        str, Mapping[str, float]
    ]  # by method: rows, its median and 90th percentile on them, our median on the same
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitScore:
    """Labels of what fits: each says of two batches that the smaller ran and the larger did not."""

    group: Mapping[str, str]
    labels: int
    right: float | None
    false_fits: float | None  # of the batches that failed, the share that was said to fit
    reasons: Mapping[str, int]


def score(outcomes: Sequence[Outcome], group: Mapping[str, str]) -> Score:
    """Of any outcomes, as one group."""
    done = [(one, one.predicted) for one in outcomes if one.predicted is not None]
    signed = [(predicted - one.measured) / one.measured for one, predicted in done]
    held = [one.inside for one, _ in done if one.inside is not None]
    names = sorted({name for one, _ in done for name in one.others})
    return Score(
        group=group,
        rows=len(outcomes),
        predicted=len(done),
        coverage=len(done) / len(outcomes) if outcomes else 0.0,
        median_error=median(map(abs, signed)) if signed else None,
        p90_error=_p90([abs(error) for error in signed]) if signed else None,
        bias=median(signed) if signed else None,
        inside=sum(held) / len(held) if held else None,
        others={name: _other([one for one, _ in done if name in one.others], name) for name in names},
        reasons=dict(Counter(one.reason for one in outcomes if one.reason).most_common()),
    )


def by_group(outcomes: Sequence[Outcome], key: Callable[[Outcome], tuple[tuple[str, str], ...]]) -> tuple[Score, ...]:
    """One score per group, in the order of their names."""
    groups: dict[tuple[tuple[str, str], ...], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault(key(one), []).append(one)
    return tuple(score(members, dict(name)) for name, members in sorted(groups.items()))


def fit_score(labels: Sequence[Outcome], group: Mapping[str, str]) -> FitScore:
    """Of outcomes whose measured is 1 for a batch that ran and 0 for one that did not, and predicted alike."""
    done = [(one.measured, one.predicted) for one in labels if one.predicted is not None]
    failed = [said for ran, said in done if not ran]
    return FitScore(
        group=group,
        labels=len(labels),
        right=sum(ran == said for ran, said in done) / len(done) if done else None,
        false_fits=sum(failed) / len(failed) if failed else None,
        reasons=dict(Counter(one.reason for one in labels if one.reason).most_common()),
    )


def _other(outcomes: Sequence[Outcome], name: str) -> Mapping[str, float]:
    errors = [abs(one.others[name] - one.measured) / one.measured for one in outcomes]
    ours = [abs(one.predicted - one.measured) / one.measured for one in outcomes if one.predicted is not None]
    return {"rows": len(errors), "median_error": median(errors), "p90_error": _p90(errors), "ours": median(ours)}


def _p90(errors: Sequence[float]) -> float:
    return quantiles(errors, n=10, method="inclusive")[-1] if len(errors) > 1 else errors[0]
