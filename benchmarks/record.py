"""What a comparison of variants found: the runs as they came, and the medians and ratios made from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from rooflight.core.types import Environment

REFERENCE = "rooflight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process of one variant in one round."""

    variant: str
    batch: int
    round: int
    samples_per_second: float  # of the steps
    whole_samples_per_second: float  # of whole epochs: waiting for input counts
    first_step_seconds: float  # from the start of the process, imports included
    peak_bytes: int  # resident, of the process and its children
    parameters: int
    test_accuracy: float
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant at one batch size. A ratio is Rooflight's samples/s over the variant's, in the same round."""

    variant: str
    batch: int
    rounds: int
    samples_per_second: float
    samples_per_second_low: float  # quartiles
    samples_per_second_high: float
    whole_samples_per_second: float
    rooflight_ratio: float
    rooflight_ratio_low: float
    rooflight_ratio_high: float
    first_step_seconds: float
    peak_bytes: int
    test_accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole result, as it is stored."""

    task: str
    environment: Environment
    command: str
    epochs: int
    rows: tuple[Row, ...]
    runs: tuple[Run, ...]
    failures: tuple[str, ...] = ()  # variants that gave no run, and their last words


def summarise(runs: Sequence[Run]) -> tuple[Row, ...]:
    """A row for each batch and variant, fastest first. Rounds without the reference have no ratio and are refused."""
    reference = {(run.batch, run.round): run.samples_per_second for run in runs if run.variant == REFERENCE}
    rows = []
    for batch, variant in sorted({(run.batch, run.variant) for run in runs}):
        mine = [run for run in runs if (run.batch, run.variant) == (batch, variant)]
        rates = _spread([run.samples_per_second for run in mine])
        ratios = _spread([reference[run.batch, run.round] / run.samples_per_second for run in mine])
        rows.append(
            Row(
                variant=variant,
                batch=batch,
                rounds=len(mine),
                samples_per_second=rates[1],
                samples_per_second_low=rates[0],
                samples_per_second_high=rates[2],
                whole_samples_per_second=median(run.whole_samples_per_second for run in mine),
                rooflight_ratio=ratios[1],
                rooflight_ratio_low=ratios[0],
                rooflight_ratio_high=ratios[2],
                first_step_seconds=median(run.first_step_seconds for run in mine),
                peak_bytes=round(median(run.peak_bytes for run in mine)),
                test_accuracy=median(run.test_accuracy for run in mine),
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.batch, row.rooflight_ratio)))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high
