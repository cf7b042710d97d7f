"""Measurements that the figures are fitted on: rows of one GPU with their operators, and matrix products alone."""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.cases import Case, NotPredictedError, case
from benchmarks.accuracy.predict import case_table, gpu_spec, machine
from benchmarks.accuracy.rows import read_rows
from benchmarks.accuracy.traces import Traces
from rooflight.core.types import GpuSpec, Op, Trace, Workload
from rooflight.estimate.setting import Setting
from rooflight.estimate.table import OpTable, table


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


# Random gathers from tables, and a vocoder's many small kernels: no rule describes them, and the figures of the host
# would bend to meet them.
WITHOUT_RULE = ("ncf", "waveglow")


def single_gpu(path: Path) -> list[Case]:
    """The throughput rows of one GPU in a file."""
    found = []
    for row in read_rows(path):
        if (
            row.gpus != 1
            or row.model in WITHOUT_RULE
            or row.metric not in ("samples_per_s", "ms_per_step", "tokens_per_s")
        ):
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
        row = one.row
        try:
            spec, columns = gpu_spec(row.gpu), case_table(one, traces.get(one.recipe))
        except NotPredictedError:
            continue
        found.append(
            Point(
                seconds=_step_seconds(one),
                table=columns,
                spec=spec,
                setting=one.setting,
                model=row.model,
                group=group(one),
                machine=machine(row.source, row.path, spec.name),
            )
        )
    return found


def group(one: Case) -> tuple[str, ...]:
    """What rows that were measured alike have in common. Its first three are the source, the GPU and the task."""
    row = one.row
    return (row.source, row.gpu, row.task, row.precision or "", row.memory_format or "", str(row.version))


def sampled(cases: Sequence[Case], most: int) -> list[Case]:
    """At most so many cases of every group, evenly over it, in the order of the models' names."""
    groups: dict[tuple[str, ...], list[Case]] = defaultdict(list)
    for one in sorted(cases, key=lambda one: one.row.model):
        groups[group(one)].append(one)
    kept = []
    for members in groups.values():
        every = max(1, -(-len(members) // most))
        kept += members[::every]
    return kept


def _step_seconds(one: Case) -> float:
    value = one.row.value
    if value is None:
        raise NotPredictedError("no measured value is given")
    return value / 1000.0 / one.repeats if one.row.metric == "ms_per_step" else one.batch * one.per_sample / value


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
