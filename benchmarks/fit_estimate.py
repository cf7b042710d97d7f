"""Fit estimate/shares.json on published measurements: `python -m benchmarks.fit_estimate CALIBRATION.csv`.

Least squares on log(predicted / measured) of single-GPU rates, every group of rows (source, GPU, task, precision,
layout) with the same weight, large residuals damped, and each figure held near what is known of it by a prior: a few
hundred rows of a few cards must not bend what is to hold for all of them.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np

from benchmarks.accuracy.cases import Case, NotPredictedError, case
from benchmarks.accuracy.figures import FIGURES, FIXED
from benchmarks.accuracy.predict import case_step, case_table, gpu_spec, to_metric
from benchmarks.accuracy.rows import read_rows
from benchmarks.accuracy.traces import Traces, default_folder
from rooflight.core.types import GpuSpec
from rooflight.estimate.device import device
from rooflight.estimate.kernels import kernels
from rooflight.estimate.shares import Shares, interval_class
from rooflight.estimate.step import assemble
from rooflight.estimate.table import Array, Index, OpTable, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row with all that does not change while fitting."""

    case: Case
    table: OpTable
    spec: GpuSpec
    group: tuple[str, ...]

    @property
    def host(self) -> str:
        """The machine that it was measured on, as far as one can tell."""
        return f"{self.case.row.source} {self.spec.name}"


def points(cases: Sequence[Case], traces: Traces) -> list[Point]:
    """The cases that can be predicted."""
    found = []
    for one in cases:
        try:
            spec = gpu_spec(one.row.gpu)
            found.append(Point(case=one, table=case_table(one, traces.get(one.recipe)), spec=spec, group=group(one)))
        except NotPredictedError:
            continue
    return found


def group(one: Case) -> tuple[str, ...]:
    row = one.row
    return (row.source, row.gpu, row.task, row.precision or "", row.memory_format or "", str(row.version))


def single_gpu(path: Path) -> list[Case]:
    """The throughput rows of one GPU in a file."""
    found = []
    for row in read_rows(path):
        if row.gpus != 1 or row.metric not in ("samples_per_s", "ms_per_step", "tokens_per_s"):
            continue
        try:
            found.append(case(row))
        except NotPredictedError:
            continue
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Points whose kernels are worked out in one go: the same GPU, the same setting of its kernels, the same task."""

    members: tuple[Point, ...]
    places: Index  # of the members among all points
    table: OpTable
    ends: tuple[int, ...]


def together(chosen: Sequence[Point]) -> list[Together]:
    """The points, by what their kernels have in common."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place, point in enumerate(chosen):
        kernel_setting = replace(point.case.setting, slow_host=1.0, host_input_bytes=0.0)
        groups[(point.spec.name, kernel_setting, point.case.recipe.task)].append(place)
    found = []
    for places in groups.values():
        members = tuple(chosen[place] for place in places)
        tables = [member.table for member in members]
        ends = tuple(np.cumsum(list(map(len, tables))).tolist())
        found.append(Together(members=members, places=np.array(places), table=joined(tables), ends=ends))
    return found


def errors(groups: Sequence[Together], shares: Shares, hosts: Mapping[str, float] = MappingProxyType({})) -> Array:
    """log(predicted / measured) seconds of each point. hosts: how much slower than the usual one each host is."""
    found = np.zeros(sum(len(group.members) for group in groups))
    for group in groups:
        first = group.members[0]
        busy = kernels(group.table, device(first.spec, shares), first.case.setting, shares)
        for place, point, end in zip(group.places, group.members, group.ends, strict=True):
            count = len(point.table)
            setting = replace(point.case.setting, slow_host=hosts.get(point.host, 1.0))
            one = assemble(point.table, np.ones(count, dtype=bool), busy.part(end - count, end), setting, shares)
            value = to_metric(point.case, one.seconds)
            sign = 1.0 if point.case.row.metric == "ms_per_step" else -1.0
            found[place] = sign * np.log(value / point.case.row.value)
    return found


def weights(chosen: Sequence[Point]) -> Array:
    """Large groups of rows weigh alike; a small one is not to be believed as much as one of hundreds."""
    count: dict[tuple[str, ...], int] = defaultdict(int)
    for point in chosen:
        count[point.group] += 1
    return np.array([min(1.0, (25.0 / count[point.group]) ** 0.5) for point in chosen])


def as_shares(logs: Array, source: str) -> Shares:
    values = dict(zip(FIGURES, np.exp(logs).tolist(), strict=True))
    return Shares(values=values | {name: figure.about for name, figure in FIXED.items()}, intervals={}, source=source)


def held_out(
    chosen: Sequence[Point], key: Callable[[Point], str], *, rounds: int, begin: Array, tell: Callable[[str], None]
) -> Array:
    """log(predicted / measured) of each point, predicted by a fit that saw no point of the same key."""
    found = np.zeros(len(chosen))
    for fold in sorted({key(point) for point in chosen}):
        inside = [key(point) == fold for point in chosen]
        rest = [point for point, mine in zip(chosen, inside, strict=True) if not mine]
        left = [point for point, mine in zip(chosen, inside, strict=True) if mine]
        logs = fit(rest, rounds=rounds, begin=begin).logs
        found[np.array(inside)] = errors(together(left), as_shares(logs, ""))
        worst = np.abs(np.expm1(found[np.array(inside)]))
        tell(f"without {fold}: {len(left)} rows, median {np.median(worst):.1%}, p90 {np.quantile(worst, 0.9):.1%}")
    return found


def intervals(chosen: Sequence[Point], found: Array, shares: Shares) -> dict[str, list[float]]:
    """By class of step: the 10th and 90th percentile of measured over predicted rates, every group of rows alike."""
    classes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for point, error, weight in zip(chosen, found, weights(chosen), strict=True):
        one = case_step(point.case, point.table, point.spec, shares)
        classes[interval_class(point.case.recipe.task, one.bound_by)].append((float(np.exp(error)), float(weight)))
    return {name: [_quantile(members, 0.1), _quantile(members, 0.9)] for name, members in sorted(classes.items())}


def _quantile(members: Sequence[tuple[float, float]], share: float) -> float:
    ordered = sorted(members)
    until = np.cumsum([weight for _, weight in ordered])
    return round(ordered[int(np.searchsorted(until, share * until[-1]))][0], 4)


def start() -> Array:
    return np.log([figure.about for figure in FIGURES.values()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The logarithms of the figures, in their order, and how much slower than the usual one each host was."""

    logs: Array
    hosts: Mapping[str, float]


def fit(
    chosen: Sequence[Point],
    *,
    rounds: int = 8,
    begin: Array | None = None,
    tell: Callable[[str], None] = lambda _: None,
    damp: float = 0.15,
) -> Fit:
    """Levenberg and Marquardt's method on the logarithms of the figures; residuals beyond `damp` count less."""
    about, width = start(), np.log([figure.within for figure in FIGURES.values()])
    # Hosts differ, and a slow one must not pass for a slow GPU: each gets a factor of its own, which is then dropped.
    hosts = sorted({point.host for point in chosen})
    about = np.concatenate((about, np.zeros(len(hosts))))
    width = np.concatenate((width, np.full(len(hosts), HOST_SPREAD)))
    weight = weights(chosen)
    logs, trust = about.copy(), 1.0
    if begin is not None:
        logs[: len(FIGURES)] = begin
    groups = together(chosen)
    found = _errors_at(groups, logs, hosts)

    def loss(residual: Array, at: Array) -> float:
        robust = 2 * damp**2 * (np.sqrt(1 + (residual / damp) ** 2) - 1)
        return float((weight**2 * robust).sum() + PRIOR * (((at - about) / width) ** 2).sum())

    best = loss(found, logs)
    for number in range(rounds):
        slopes = _slopes(chosen, groups, logs, hosts, found)
        robust = weight**2 / np.sqrt(1 + (found / damp) ** 2)
        gradient = slopes.T @ (robust * found) + PRIOR * (logs - about) / width**2
        normal = slopes.T @ (robust[:, None] * slopes) + np.diag(PRIOR / width**2)
        for _ in range(6):
            tried = logs + np.linalg.solve(normal + trust * np.diag(np.diag(normal)), -gradient)
            new = _errors_at(groups, tried, hosts)
            if (value := loss(new, tried)) < best:
                logs, found, best, trust = tried, new, value, trust / 5
                break
            trust *= 4
        tell(f"round {number}: loss {best:.3f}, median error {np.median(np.abs(np.expm1(found))):.3%}")
    slower = dict(zip(hosts, np.exp(logs[len(FIGURES) :]).tolist(), strict=True))
    tell("hosts: " + ", ".join(f"{name} {factor:.2f}" for name, factor in slower.items()))
    return Fit(logs=logs[: len(FIGURES)], hosts=slower)


def _errors_at(groups: Sequence[Together], logs: Array, hosts: Sequence[str]) -> Array:
    slower = dict(zip(hosts, np.exp(logs[len(FIGURES) :]).tolist(), strict=True))
    return errors(groups, as_shares(logs[: len(FIGURES)], ""), slower)


HOST_SPREAD = 0.3  # of hosts around the usual one, as a logarithm
PRIOR = 0.05  # of one figure at the edge of its range, against a squared log error of one row


def _slopes(
    chosen: Sequence[Point], groups: Sequence[Together], logs: Array, hosts: Sequence[str], found: Array
) -> Array:
    """How each error changes with each logarithm, by small steps; a host's changes those of its own points alone."""
    width = 0.02
    slopes = np.zeros((len(chosen), len(logs)))
    for index in range(len(FIGURES)):
        moved = logs.copy()
        moved[index] += width
        slopes[:, index] = (_errors_at(groups, moved, hosts) - found) / width
    # All hosts at once: none touches another's points.
    moved = logs.copy()
    moved[len(FIGURES) :] += width
    all_hosts = (_errors_at(groups, moved, hosts) - found) / width
    for index, host in enumerate(hosts, start=len(FIGURES)):
        mine = np.array([point.host == host for point in chosen])
        slopes[mine, index] = all_hosts[mine]
    return slopes


def main() -> int:
    arguments = _arguments()
    found = points(single_gpu(arguments.calibration), Traces(arguments.cache, make=not arguments.traced_only))
    chosen = sampled(found, arguments.rows)
    _tell(f"{len(chosen)} of {len(found)} rows")
    found_fit = fit(chosen, rounds=arguments.rounds, tell=_tell)
    logs = found_fit.logs
    shares = as_shares(
        logs, f"benchmarks/fit_estimate.py on {arguments.calibration.name}, {datetime.now(UTC):%Y-%m-%d}"
    )
    if arguments.hold_out:
        left = held_out(chosen, lambda point: point.spec.name, rounds=arguments.hold_out, begin=logs, tell=_tell)
    else:
        left = errors(together(chosen), shares)
    out = intervals(chosen, left, shares)
    arguments.out.write_text(
        json.dumps(document(shares, found_fit.hosts, out, len(chosen)), indent=1) + "\n", encoding="utf-8"
    )
    return 0


def document(
    shares: Shares, hosts: Mapping[str, float], out: Mapping[str, list[float]], rows: int
) -> dict[str, object]:
    """What shares.json holds."""
    meanings = {name: figure.meaning for name, figure in {**FIGURES, **FIXED}.items()}
    return {
        "source": f"{shares.source}, {rows} rows",
        "shares": {
            name: {"value": float(f"{value:.4g}"), "meaning": meanings[name]} for name, value in shares.values.items()
        },
        "hosts": {name: round(factor, 3) for name, factor in hosts.items()},
        "intervals": out,
    }


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def sampled(chosen: Sequence[Point], most: int) -> list[Point]:
    """At most so many points of every group, evenly over it, in the order of the models' names."""
    groups: dict[tuple[str, ...], list[Point]] = defaultdict(list)
    for point in sorted(chosen, key=lambda point: point.case.row.model):
        groups[point.group].append(point)
    kept = []
    for members in groups.values():
        every = max(1, -(-len(members) // most))
        kept += members[::every]
    return kept


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--cache", type=Path, default=default_folder(), help="folder that keeps traces")
    parser.add_argument("--traced-only", action="store_true", help="use the rows whose traces are in the cache")
    parser.add_argument("--rows", type=int, default=40, help="at most so many rows of a group")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--hold-out",
        type=int,
        default=3,
        help="rounds of each fit without one GPU; 0: intervals of the rows that were fitted",
    )
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


OUT = Path(__file__).resolve().parents[1] / "src" / "rooflight" / "estimate" / "shares.json"

if __name__ == "__main__":
    sys.exit(main())
