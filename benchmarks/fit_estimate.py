"""Fit estimate/shares.json on published measurements: `python -m benchmarks.fit_estimate CALIBRATION.csv`.

Least squares on log(predicted / measured) of single-GPU rates and of the best matrix products of ten systems. Every
group of rows (source, GPU, task, precision, layout, version) has a like weight, large residuals are damped, and each
figure is held near what is known of it by a prior: a few hundred rows of a few cards must not bend what is to hold for
all of them. What it does on rows it has not seen is worked out thrice: without one GPU, one source, one family of
models. The first and the last of these give low and high; all scores go to --scores.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.accuracy.figures import FIGURES, FIXED
from benchmarks.accuracy.fitting import Fitting, busy, steps, weights
from benchmarks.accuracy.points import Point, points, products, sampled, single_gpu
from benchmarks.accuracy.traces import Traces, default_folder
from rooflight.estimate.shares import Shares, interval_class
from rooflight.estimate.table import Array
from rooflight.hardware.environment import environment

FAMILIES = 5  # folds that the models' families are dealt to
KEYS = {
    "gpu": lambda point: point.spec.name,
    "source": lambda point: point.source,
    "family": lambda point: str(sum(map(ord, point.family)) % FAMILIES),
}


def main() -> int:
    arguments = _arguments()
    traces = Traces(arguments.cache, make=not arguments.traced_only)
    chosen = points(sampled(single_gpu(arguments.calibration), arguments.rows), traces)
    if arguments.products:
        chosen += products(arguments.products)
    _tell(f"{len(chosen)} points")
    fitting = Fitting(chosen)
    fit = fitting.run(rounds=arguments.rounds, tell=_tell)
    source = f"benchmarks/fit_estimate.py on {arguments.calibration.name}, {datetime.now(UTC):%Y-%m-%d}"
    shares = fit.shares(f"{source}, {len(chosen)} rows")
    slopes = fitting.slopes(fit.logs)
    left = {name: fitting.held_out(fit, slopes, key, _tell) for name, key in KEYS.items()}
    bounds = [step.bound_by for step in steps(fitting.groups, busy(fitting.groups, shares), shares, shares.machines)]
    out = intervals(chosen, bounds, [left["gpu"], left["family"]])
    arguments.out.write_text(json.dumps(document(shares, out), indent=1) + "\n", encoding="utf-8")
    scores = {
        "environment": asdict(environment("no GPU: predictions", threads=1)),
        "source": shares.source,
        "fitted": score(chosen, fitting.errors(fit.logs)),
        "held_out": {name: score(chosen, found) for name, found in left.items()},
    }
    print(json.dumps(scores, indent=1))
    if arguments.scores:
        arguments.scores.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return 0


def score(chosen: Sequence[Point], found: Array) -> dict[str, dict[str, float]]:
    """Absolute errors of the rates: all rows, by GPU, and the products alone."""
    groups: dict[str, list[float]] = defaultdict(list)
    for point, error in zip(chosen, found, strict=True):
        # of a product the time, of a step the rate: both as published
        wrong = abs(float(np.expm1(-error)))
        for name in ("all rows", f"{point.source} {point.spec.name}") if point.machine else ("products",):
            groups[name].append(wrong)
    return {
        name: {
            "rows": len(members),
            "median_error": round(float(np.median(members)), 4),
            "p90_error": round(float(np.quantile(members, 0.9)), 4),
        }
        for name, members in sorted(groups.items())
    }


def intervals(chosen: Sequence[Point], bounds: Sequence[str], held_out: Sequence[Array]) -> dict[str, list[float]]:
    """By class of step: the 10th and 90th percentile of measured over predicted rates, of points that were held out."""
    classes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for found in held_out:
        for point, bound, error, weight in zip(chosen, bounds, found, weights(chosen), strict=True):
            if point.machine:
                classes[interval_class(point.group[2], bound)].append((float(np.exp(error)), float(weight)))
    return {name: [_quantile(members, 0.1), _quantile(members, 0.9)] for name, members in sorted(classes.items())}


def _quantile(members: Sequence[tuple[float, float]], share: float) -> float:
    ordered = sorted(members)
    until = np.cumsum([weight for _, weight in ordered])
    return round(ordered[int(np.searchsorted(until, share * until[-1]))][0], 4)


def document(shares: Shares, out: Mapping[str, list[float]]) -> dict[str, object]:
    """What shares.json holds."""
    meanings = {name: figure.meaning for name, figure in {**FIGURES, **FIXED}.items()}
    return {
        "source": shares.source,
        "shares": {
            name: {"value": float(f"{value:.4g}"), "meaning": meanings[name]} for name, value in shares.values.items()
        },
        "machines": {
            name: {"host": round(one.host, 3), "gpu": round(one.gpu, 3)} for name, one in shares.machines.items()
        },
        "intervals": out,
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--products", type=Path, help="file of measured matrix products: sys, dt, tf, m, n, k")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder that keeps traces")
    parser.add_argument("--traced-only", action="store_true", help="use the rows whose traces are in the cache")
    parser.add_argument("--rows", type=int, default=40, help="at most so many rows of a group")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--scores", type=Path, help="write the scores to this file too")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


OUT = Path(__file__).resolve().parents[1] / "src" / "rooflight" / "estimate" / "shares.json"

if __name__ == "__main__":
    sys.exit(main())
