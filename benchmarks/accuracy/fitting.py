"""Least squares of the model's figures on measured rows: points, their errors, the fit, and fits that leave some out."""

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cases import Case, NotPredictedError, case
from benchmarks.accuracy.figures import FIGURES, FIXED
from benchmarks.accuracy.predict import case_table, gpu_spec, machine
from benchmarks.accuracy.rows import read_rows
from benchmarks.accuracy.traces import Traces
from rooflight.core.types import GpuSpec, Op, Trace, Workload
from rooflight.estimate.device import device
from rooflight.estimate.kernels import Kernels, kernels
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Machine, Shares
from rooflight.estimate.step import Step, assemble
from rooflight.estimate.table import Array, Index, OpTable, joined, table
from rooflight.estimate.traffic import Traffic, traffic

HOST_FIGURES = frozenset(name for name in FIGURES if name.startswith(("issue_", "host_")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement with all that does not change while fitting."""

    seconds: float  # of a step, or of a product alone
    table: OpTable
    spec: GpuSpec
    setting: Setting
    model: str
    group: tuple[str, ...]  # rows that were measured alike
    machine: str | None  # that it was measured on, as far as one can tell; None: a product alone, without its host

    @property
    def family(self) -> str:
        """The model's name up to its first figure: resnet50 and resnet101 are one family."""
        return re.split(r"\d|_", self.model.removeprefix("tf_").removeprefix("legacy_"))[0]

    @property
    def source(self) -> str:
        return self.group[0]


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


def points(cases: Sequence[Case], traces: Traces) -> list[Point]:
    """The cases that can be predicted."""
    found = []
    for one in cases:
        try:
            spec, columns = gpu_spec(one.row.gpu), case_table(one, traces.get(one.recipe))
        except NotPredictedError:
            continue
        row = one.row
        found.append(
            Point(
                seconds=_step_seconds(one),
                table=columns,
                spec=spec,
                setting=one.setting,
                model=row.model,
                group=(row.source, spec.name, row.task, row.precision or "", row.memory_format or "", str(row.version)),
                machine=machine(row.source, row.path, spec.name),
            )
        )
    return found


def _step_seconds(one: Case) -> float:
    if one.row.metric == "ms_per_step":
        return one.row.value / 1000.0 / one.repeats
    return one.batch * one.per_sample / one.row.value


SYSTEMS: Mapping[str, str] = {  # of measured_gemm_best.csv, as the catalogue calls them
    "a100_sxm": "A100 SXM4 80GB", "h100_sxm": "H100 SXM5 80GB", "h200_sxm": "H200 SXM 141GB", "b200_sxm": "B200",
    "b300_sxm": "B300", "gb200": "GB200", "gb300": "GB300", "l40s": "L40S", "b60": "Arc Pro B60",
    "rtx_pro_6000_server": "RTX PRO 6000 Blackwell Server",
}  # fmt: skip
PRODUCT_DTYPES = {"bfloat16": "bfloat16", "fp8": "float8"}


def products(path: Path) -> list[Point]:
    """The best matrix product that each of ten systems was measured to do, in bfloat16 and float8."""
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["dt"] not in PRODUCT_DTYPES:
                continue
            m, n, k, spec = int(row["m"]), int(row["n"]), int(row["k"]), gpu_spec(SYSTEMS[row["sys"]])
            flops = 2 * m * n * k
            one = _product(m, n, k, PRODUCT_DTYPES[row["dt"]])
            found.append(
                Point(
                    seconds=flops / (1e12 * float(row["tf"])),
                    table=table(one),
                    spec=spec,
                    setting=Setting(),
                    model="product",
                    group=("aiconfigurator-core", spec.name, "product", row["dt"]),
                    machine=None,
                )
            )
    return found


def _product(m: int, n: int, k: int, dtype: str) -> Trace:
    item = 1 if dtype == "float8" else 2
    read, written = item * (m * k + k * n), 2 * m * n
    op = Op(
        name="aten.mm.default",
        kind="matmul",
        phase="forward",
        dtype=dtype,
        flops=2 * m * n * k,
        bytes_read=read,
        bytes_written=written,
        product=(1, m, n, k),
    )
    workload = Workload(model="product", task="infer", batch=1, input_shape=(m, k), dtype=dtype)
    return Trace(
        workload=workload,
        parameters=0,
        parameter_bytes=0,
        flops=op.flops,
        bytes=read + written,
        peak_bytes=0,
        ops=(op,),
        lifetimes=(),
    )


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
            Together(
                members=members, places=np.array(places), ends=ends, distinct=distinct, moved=moved, where=where
            )
        )
    return found


def _distinct(whole: OpTable, spec: GpuSpec) -> tuple[OpTable, Traffic, Index]:
    shares = Shares(values={name: figure.about for name, figure in FIGURES.items()}, intervals={}, source="")
    moved = traffic(whole, device(spec, shares))
    words = [whole.names, whole.kinds, whole.phases, whole.dtypes]
    columns = [whole.flops, whole.bytes_read, whole.bytes_written, whole.batch, whole.rows, whole.columns, whole.depth]
    codes = [np.unique(word, return_inverse=True)[1].astype(float) for word in words]
    rows = np.round(np.stack([*codes, *columns, moved.memory, moved.cache]), 3)
    _, first, where = np.unique(rows, axis=1, return_index=True, return_inverse=True)
    none = np.zeros(0, dtype=np.int64)
    picked = {
        item.name: tuple(value[index] for index in first) if isinstance(value, tuple) else value[first]
        for item in fields(OpTable)
        if item.name not in ("samples", "read_by", "read_from", "read_bytes")
        for value in (getattr(whole, item.name),)
    }
    distinct = OpTable(samples=whole.samples, read_by=none, read_from=none, read_bytes=np.zeros(0), **picked)
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
    seconds = [
        step.seconds if point.machine else step.gpu_seconds for point, step in zip(chosen, found, strict=True)
    ]
    return np.log(np.array(seconds) / np.array([point.seconds for point in chosen]))


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
STEP = 0.02  # of a logarithm, for slopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The logarithms of the figures, in their order, and of every machine's host and GPU."""

    logs: Array
    machines: Mapping[str, Machine] = field(default_factory=dict)

    def shares(self, source: str = "") -> Shares:
        values = dict(zip(FIGURES, np.exp(self.logs).tolist(), strict=True))
        return Shares(
            values=values | {name: figure.about for name, figure in FIXED.items()}, intervals={}, source=source
        )


def start() -> Fit:
    return Fit(logs=np.log([figure.about for figure in FIGURES.values()]))


def fit(
    chosen: Sequence[Point],
    *,
    rounds: int = 8,
    begin: Fit | None = None,
    tell: Callable[[str], None] = lambda _: None,
    damp: float = 0.12,
) -> Fit:
    """Levenberg and Marquardt's method on the logarithms of the figures; residuals beyond `damp` count less.

    Machines differ, and a slow host must not pass for a slow GPU, nor a card's cooling for its architecture: each
    machine gets a factor for its host and one for its GPU, held near 1.
    """
    names = sorted({point.machine for point in chosen if point.machine})
    about = np.concatenate((start().logs, np.zeros(2 * len(names))))
    width = np.log([figure.within for figure in FIGURES.values()])
    width = np.concatenate((width, np.repeat([HOST_SPREAD, GPU_SPREAD], len(names))))
    logs, trust, weight = about.copy(), 1.0, weights(chosen)
    if begin is not None:
        logs[: len(FIGURES)] = begin.logs
        known = [begin.machines.get(name, Machine()) for name in names]
        logs[len(FIGURES) :] = np.log([one.host for one in known] + [one.gpu for one in known])
    groups = together(chosen)

    def unpacked(at: Array) -> Fit:
        hosts, gpus = np.exp(at[len(FIGURES) :]).reshape(2, -1)
        machines = {name: Machine(host=h, gpu=g) for name, h, g in zip(names, hosts, gpus, strict=True)}
        return Fit(logs=at[: len(FIGURES)], machines=machines)

    def errors_at(at: Array, known: Sequence[Kernels] | None = None) -> Array:
        one = unpacked(at)
        shares = one.shares()
        return errors(chosen, steps(groups, known or busy(groups, shares), shares, one.machines))

    def slopes_at(at: Array, residual: Array) -> Array:
        found, here = np.zeros((len(chosen), len(at))), busy(groups, unpacked(at).shares())
        for index, name in enumerate(FIGURES):
            moved = at.copy()
            moved[index] += STEP
            found[:, index] = (errors_at(moved, here if name in HOST_FIGURES else None) - residual) / STEP
        # All hosts at once, then all GPUs: none touches another's points.
        for offset in (len(FIGURES), len(FIGURES) + len(names)):
            moved = at.copy()
            moved[offset : offset + len(names)] += STEP
            all_machines = (errors_at(moved, here) - residual) / STEP
            for index, name in enumerate(names, start=offset):
                mine = np.array([point.machine == name for point in chosen])
                found[mine, index] = all_machines[mine]
        return found

    def loss(residual: Array, at: Array) -> float:
        robust = 2 * damp**2 * (np.sqrt(1 + (residual / damp) ** 2) - 1)
        return float((weight**2 * robust).sum() + PRIOR * (((at - about) / width) ** 2).sum())

    found = errors_at(logs)
    best = loss(found, logs)
    for number in range(rounds):
        slopes = slopes_at(logs, found)
        robust = weight**2 / np.sqrt(1 + (found / damp) ** 2)
        gradient = slopes.T @ (robust * found) + PRIOR * (logs - about) / width**2
        normal = slopes.T @ (robust[:, None] * slopes) + np.diag(PRIOR / width**2)
        for _ in range(6):
            tried = logs + np.linalg.solve(normal + trust * np.diag(np.diag(normal)), -gradient)
            new = errors_at(tried)
            if (value := loss(new, tried)) < best:
                logs, found, best, trust = tried, new, value, trust / 8
                break
            trust *= 4
        tell(f"round {number}: loss {best:.3f}, median error {np.median(np.abs(np.expm1(found))):.3%}")
    return unpacked(logs)


def held_out(
    chosen: Sequence[Point], key: Callable[[Point], str], *, rounds: int, begin: Fit, tell: Callable[[str], None]
) -> tuple[Array, list[Step]]:
    """log(predicted / measured) and the step of each point, by a fit that saw no point of the same key."""
    found = np.zeros(len(chosen))
    whole: list[Step | None] = [None] * len(chosen)
    for fold in sorted({key(point) for point in chosen}):
        inside = np.array([key(point) == fold for point in chosen])
        rest = [point for point, mine in zip(chosen, inside, strict=True) if not mine]
        left = [point for point, mine in zip(chosen, inside, strict=True) if mine]
        one = fit(rest, rounds=rounds, begin=begin)
        groups, shares = together(left), one.shares()
        predicted = steps(groups, busy(groups, shares), shares, one.machines)
        found[inside] = errors(left, predicted)
        for place, step in zip(np.flatnonzero(inside), predicted, strict=True):
            whole[place] = step
        worst = np.abs(np.expm1(found[inside]))
        tell(f"without {fold}: {len(left)} rows, median {np.median(worst):.1%}, p90 {np.quantile(worst, 0.9):.1%}")
    return found, [one for one in whole if one is not None]
