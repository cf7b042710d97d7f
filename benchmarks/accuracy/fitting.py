"""Least squares of the figures on measured rows: their errors, the fit, and what it does without some of the rows."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from benchmarks.accuracy.figures import FIGURES, FIXED
from benchmarks.accuracy.points import Point
from rooflight.core.types import GpuSpec
from rooflight.estimate.device import device
from rooflight.estimate.kernels import Kernels, kernels
from rooflight.estimate.shares import Machine, Shares
from rooflight.estimate.step import Step, assemble
from rooflight.estimate.table import Array, Index, OpTable, joined
from rooflight.estimate.traffic import Traffic, traffic

HOST_FIGURES = frozenset(name for name in FIGURES if name.startswith(("issue_", "host_")))


# ---------------------------------------------------------------- errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Points whose kernels are worked out in one go: the same GPU, the same setting of its kernels.

    Many operators are alike, within a model and between models: each kind is worked out once.
    """

    members: tuple[Point, ...]
    places: Index  # of the members among all points
    ends: tuple[int, ...]  # of the members among all operators
    distinct: OpTable
    moved: Traffic
    where: Index  # of every operator among the distinct ones


def together(chosen: Sequence[Point]) -> list[Together]:
    """The points, by what their kernels have in common."""
    groups: dict[object, list[int]] = defaultdict(list)
    for place, point in enumerate(chosen):
        groups[(point.spec.name, replace(point.setting, host_input_bytes=0.0), point.group[2])].append(place)
    found = []
    for places in groups.values():
        members = tuple(chosen[place] for place in places)
        tables = [member.table for member in members]
        ends = tuple(np.cumsum(list(map(len, tables))).tolist())
        distinct, moved, where = _distinct(joined(tables), members[0].spec)
        found.append(
            Together(members=members, places=np.array(places), ends=ends, distinct=distinct, moved=moved, where=where)
        )
    return found


def _distinct(whole: OpTable, spec: GpuSpec) -> tuple[OpTable, Traffic, Index]:
    known = {name: figure.about for name, figure in {**FIGURES, **FIXED}.items()}
    shares = Shares(values=known, intervals={}, source="")
    moved = traffic(whole, device(spec, shares))
    words = [whole.names, whole.kinds, whole.phases, whole.dtypes]
    columns = [whole.flops, whole.bytes_read, whole.bytes_written, whole.batch, whole.rows, whole.columns, whole.depth]
    codes = [np.unique(word, return_inverse=True)[1].astype(float) for word in words]
    rows = np.round(np.stack([*codes, *columns, moved.memory, moved.cache]), 3)
    _, first, where = np.unique(rows, axis=1, return_index=True, return_inverse=True)
    none = np.zeros(0, dtype=np.int64)
    picked: dict[str, Any] = {
        item.name: tuple(value[index] for index in first) if isinstance(value, tuple) else value[first]
        for item in fields(OpTable)
        if item.name not in ("samples", "read_by", "read_from", "read_bytes")
        for value in (getattr(whole, item.name),)
    }
    reads = {"read_by": none, "read_from": none, "read_bytes": np.zeros(0)}
    distinct = OpTable(**({"samples": whole.samples} | reads | picked))
    return distinct, Traffic(memory=moved.memory[first], cache=moved.cache[first]), where.reshape(-1)


def busy(groups: Sequence[Together], shares: Shares) -> list[Kernels]:
    """What keeps the GPU busy in each group, of its distinct operators."""
    return [
        kernels(one.distinct, device(one.members[0].spec, shares), one.members[0].setting, shares, one.moved)
        for one in groups
    ]


def steps(
    groups: Sequence[Together], found: Sequence[Kernels], shares: Shares, machines: Mapping[str, Machine]
) -> list[Step]:
    """The step of every point."""
    whole: list[Step | None] = [None] * sum(len(group.members) for group in groups)
    for group, each in zip(groups, found, strict=True):
        for place, point, end in zip(group.places, group.members, group.ends, strict=True):
            count = len(point.table)
            mine = machines.get(point.machine or "", Machine())
            setting = replace(point.setting, slow_host=mine.host, slow_gpu=mine.gpu)
            part = each.part(group.where[end - count : end])
            whole[place] = assemble(point.table, np.ones(count, dtype=bool), part, setting, shares)
    return [one for one in whole if one is not None]


def errors(chosen: Sequence[Point], found: Sequence[Step]) -> Array:
    """log(predicted / measured) seconds of each point."""
    seconds = [step.seconds if point.machine else step.gpu_seconds for point, step in zip(chosen, found, strict=True)]
    ratios: Array = np.array(seconds) / np.array([point.seconds for point in chosen])
    return np.log(ratios)


def weights(chosen: Sequence[Point]) -> Array:
    """Large groups of rows weigh alike; a small one is not to be believed as much as one of hundreds."""
    count: dict[tuple[str, ...], int] = defaultdict(int)
    for point in chosen:
        count[point.group] += 1
    return np.array([min(1.0, (25.0 / count[point.group]) ** 0.5) for point in chosen])


# ---------------------------------------------------------------- the fit


HOST_SPREAD = 0.3  # of hosts around the usual one, as a logarithm
GPU_SPREAD = 0.05  # of cards of one name around their data sheet
PRIOR = 0.05  # of one figure at the edge of its range, against a squared log error of one row
DAMP = 0.12  # log errors beyond it count less and less
STEP = 0.02  # of a logarithm, for slopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The logarithms of the figures in their order, then of every machine's host, then of every machine's GPU."""

    machines: tuple[str, ...]
    logs: Array

    def shares(self, source: str = "") -> Shares:
        values = dict(zip(FIGURES, np.exp(self.logs[: len(FIGURES)]).tolist(), strict=True))
        hosts, gpus = np.exp(self.logs[len(FIGURES) :]).reshape(2, -1).tolist()
        factors = zip(self.machines, hosts, gpus, strict=True)
        return Shares(
            values=values | {name: figure.about for name, figure in FIXED.items()},
            intervals={},
            source=source,
            machines={name: Machine(host=host, gpu=gpu) for name, host, gpu in factors},
        )


class Fitting:
    """Levenberg and Marquardt's method on the logarithms of the figures, each held near what is known of it.

    Machines differ, and a slow host must not pass for a slow GPU, nor a card's cooling for its architecture: each
    machine gets a factor for its host and one for its GPU, held near 1.
    """

    def __init__(self, chosen: Sequence[Point]) -> None:
        self.points = list(chosen)
        self.groups = together(chosen)
        self.machines = tuple(sorted({point.machine for point in chosen if point.machine}))
        machines = len(self.machines)
        self.about = np.concatenate((np.log([figure.about for figure in FIGURES.values()]), np.zeros(2 * machines)))
        within = np.log([figure.within for figure in FIGURES.values()])
        self.width = np.concatenate((within, np.repeat([HOST_SPREAD, GPU_SPREAD], machines)))
        self.weight = weights(chosen)

    def errors(self, logs: Array, known: Sequence[Kernels] | None = None) -> Array:
        """log(predicted / measured) of each point. known: the kernels, where they do not change."""
        shares = Fit(machines=self.machines, logs=logs).shares()
        return errors(self.points, steps(self.groups, known or busy(self.groups, shares), shares, shares.machines))

    def run(self, *, rounds: int, tell: Callable[[str], None]) -> Fit:
        logs, trust = self.about.copy(), 1.0
        found = self.errors(logs)
        best = self._loss(found, logs)
        for number in range(rounds):
            gradient, normal = self._normal(self.slopes(logs), found, logs, self.weight)
            for _ in range(6):
                tried = logs - np.linalg.solve(normal + trust * np.diag(np.diag(normal)), gradient)
                new = self.errors(tried)
                if (value := self._loss(new, tried)) < best:
                    logs, found, best, trust = tried, new, value, trust / 8
                    break
                trust *= 4
            tell(f"round {number}: loss {best:.3f}, median error {np.median(np.abs(np.expm1(found))):.3%}")
        return Fit(machines=self.machines, logs=logs)

    def held_out(self, whole: Fit, slopes: Array, key: Callable[[Point], str], tell: Callable[[str], None]) -> Array:
        """log(predicted / measured) of each point, by figures that no point of the same key had a part in.

        They are the whole fit's, moved to where the rest alone would have them by the slopes at the whole fit: one set
        of slopes serves all. Factors of machines that are not among the rest fall back to 1.
        """
        here = self.errors(whole.logs)
        found = np.zeros(len(self.points))
        for fold in sorted({key(point) for point in self.points}):
            inside = np.array([key(point) == fold for point in self.points])
            rest, logs = np.where(inside, 0.0, self.weight), whole.logs.copy()
            for _ in range(4):
                residual = here + slopes @ (logs - whole.logs)
                gradient, normal = self._normal(slopes, residual, logs, rest)
                logs = logs - np.linalg.solve(normal, gradient)
            found[inside] = self.errors(logs)[inside]
            worst = np.abs(np.expm1(-found[inside]))
            tell(
                f"without {fold}: {inside.sum()} rows, median {np.median(worst):.1%}, p90 {np.quantile(worst, 0.9):.1%}"
            )
        return found

    def slopes(self, logs: Array) -> Array:
        """How each error changes with each logarithm, by small steps."""
        residual = self.errors(logs)
        found = np.zeros((len(self.points), len(logs)))
        here = busy(self.groups, Fit(machines=self.machines, logs=logs).shares())
        for index, name in enumerate(FIGURES):
            moved = logs.copy()
            moved[index] += STEP
            found[:, index] = (self.errors(moved, here if name in HOST_FIGURES else None) - residual) / STEP
        # All hosts at once, then all GPUs: none touches another's points.
        for offset in (len(FIGURES), len(FIGURES) + len(self.machines)):
            moved = logs.copy()
            moved[offset : offset + len(self.machines)] += STEP
            changed = (self.errors(moved, here) - residual) / STEP
            for index, name in enumerate(self.machines, start=offset):
                mine = np.array([point.machine == name for point in self.points])
                found[mine, index] = changed[mine]
        return found

    def _normal(self, slopes: Array, residual: Array, logs: Array, weight: Array) -> tuple[Array, Array]:
        robust = weight**2 / np.sqrt(1 + (residual / DAMP) ** 2)
        gradient = slopes.T @ (robust * residual) + PRIOR * (logs - self.about) / self.width**2
        return gradient, slopes.T @ (robust[:, None] * slopes) + np.diag(PRIOR / self.width**2)

    def _loss(self, residual: Array, logs: Array) -> float:
        robust = 2 * DAMP**2 * (np.sqrt(1 + (residual / DAMP) ** 2) - 1)
        return float((self.weight**2 * robust).sum() + PRIOR * (((logs - self.about) / self.width) ** 2).sum())
