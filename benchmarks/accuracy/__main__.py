"""Predictions against published measurements: `python -m benchmarks.accuracy TRUTH.csv [--json]`.

Reads a file with the columns of benchmarks/accuracy/rows.py and prints, per source, task, precision and metric and over
all: rows, how many were predicted and why the others were not, median and 90th percentile of the absolute error, bias;
for labels of what fits: how many were right, and how often "fits" was wrong. Needs the extras timm and transformers.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.accuracy.metrics import unit_kind
from benchmarks.accuracy.outcomes import outcomes, recipes
from benchmarks.accuracy.rows import read_rows
from benchmarks.accuracy.score import FitScore, Outcome, Score, by_group, fit_score, score
from benchmarks.accuracy.traces import Traces, default_folder
from rooflight.core.errors import RooflightError
from rooflight.core.tables import Table, table_text
from rooflight.core.types import Environment
from rooflight.core.units import show_percent
from rooflight.estimate.shares import load_shares
from rooflight.hardware.environment import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The whole answer."""

    file: str
    shares: str  # where the fitted figures come from
    environment: Environment
    overall: Score
    one_gpu_rates: Score  # and times
    seen_gpus: Score  # of those, cards of which the fit had rows, and the others
    unseen_gpus: Score
    several_gpus: Score
    memory: Score
    power_and_energy: Score
    groups: tuple[Score, ...]
    by_gpu: tuple[Score, ...]
    fits: tuple[FitScore, ...]


def main() -> int:
    arguments = _arguments()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    try:
        rows = read_rows(arguments.truth)
        tell = None if arguments.quiet else _tell
        traces = Traces(arguments.cache)
        traces.fill(recipes(rows), arguments.jobs, tell)
        found = outcomes(rows, traces, load_shares(), peers=arguments.peers, tell=tell)
    except RooflightError as error:
        print(error, file=sys.stderr)
        return 2
    answer = accuracy(arguments.truth.name, found)
    print(json.dumps(asdict(answer), indent=1, ensure_ascii=False) if arguments.json else show(answer))
    if arguments.rows:
        arguments.rows.write_text("\n".join(json.dumps(asdict(one)) for one in found) + "\n", encoding="utf-8")
    return 0


def accuracy(name: str, found: Sequence[Outcome]) -> Accuracy:
    """The scores of all outcomes. Labels of what fits are counted apart."""
    labels = [one for one in found if one.metric == "fits"]
    values = [one for one in found if one.metric != "fits"]
    timed = [one for one in values if unit_kind(one.metric) in ("rate", "time")]
    rates = [one for one in timed if one.gpus == 1]
    return Accuracy(
        file=name,
        shares=load_shares().source,
        environment=environment("no GPU: predictions", threads=1),
        overall=score(values, {"group": "all but labels"}),
        one_gpu_rates=score(rates, {"group": "rates of one GPU"}),
        seen_gpus=score([one for one in rates if one.seen], {"group": "… of GPUs that the fit has seen"}),
        unseen_gpus=score(
            [one for one in rates if one.predicted is not None and not one.seen], {"group": "… of GPUs that it has not"}
        ),
        several_gpus=score([one for one in timed if one.gpus > 1], {"group": "rates of several GPUs"}),
        memory=score([one for one in values if unit_kind(one.metric) == "memory"], {"group": "peak memory"}),
        power_and_energy=score(
            [one for one in values if unit_kind(one.metric) in ("power", "energy")], {"group": "power and energy"}
        ),
        groups=by_group(values, _group),
        by_gpu=by_group(rates, lambda one: (("gpu", one.gpu),)),
        fits=tuple(fit_score([one for one in labels if one.task == task], {"task": task}) for task in TASKS),
    )


TASKS = ("train", "infer")


def _group(one: Outcome) -> tuple[tuple[str, str], ...]:
    several = "1" if one.gpus == 1 else "several"
    return (
        ("source", one.source),
        ("task", one.task),
        ("precision", one.precision),
        ("metric", one.metric),
        ("gpus", several),
    )


def show(answer: Accuracy) -> str:
    """The answer for people."""
    heads = (answer.overall, answer.one_gpu_rates, answer.seen_gpus, answer.unseen_gpus, answer.several_gpus)
    scores = (*heads, answer.memory, answer.power_and_energy, *answer.groups, *answer.by_gpu)
    lines = [(" ".join(one.group.values()), str(one.rows), *_cells(one)) for one in scores]
    head = ("group", "rows", "predicted", "median", "p90", "bias", "inside")
    fits = [
        (fit.group["task"], str(fit.labels), _percent(fit.right), _percent(fit.false_fits))
        for fit in answer.fits
        if fit.labels
    ]
    reasons = [(reason, str(count)) for reason, count in answer.overall.reasons.items()]
    tables = [Table(columns=head, rows=tuple(lines))]
    if fits:
        tables.append(Table(columns=("fits?", "labels", "right", "false fits"), rows=tuple(fits)))
    others = [
        (name, f"{found['rows']:.0f}", *map(_percent, (found["median_error"], found["p90_error"], found["ours"])))
        for name, found in answer.one_gpu_rates.others.items()
    ]
    if others:
        tables.append(Table(columns=("other methods, one GPU", "rows", "median", "p90", "ours"), rows=tuple(others)))
    if reasons:
        tables.append(Table(columns=("why rows have no prediction", "rows"), rows=tuple(reasons)))
    return "\n\n".join(map(table_text, tables))


def _cells(one: Score) -> tuple[str, ...]:
    return (str(one.predicted), *map(_percent, (one.median_error, one.p90_error, one.bias, one.inside)))


def _percent(value: float | None) -> str:
    return "–" if value is None else show_percent(value)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path, help="file of measurements")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--cache", type=Path, default=default_folder(), help="folder that keeps traces (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes that trace (default: %(default)s)"
    )
    parser.add_argument("--peers", action="store_true", help="run torch's RuntimeEstimator beside, where it can")
    parser.add_argument("--rows", type=Path, help="write what became of every row to this file, a JSON document a line")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
