"""The step times of thirteen models on this machine, predicted from `rooflight bench calibrate` and measured.

    rooflight bench calibrate
    python -m benchmarks.here --out benchmarks/results/here-DATE.json
    python -m benchmarks.here --only resnet50 vit_b_16 --out …     # some of them: what the file holds of others is kept

A model runs in channels last with Adam, as `rooflight train` runs it, in the dtypes that the processor multiplies.
Rounds take turns over task and dtype. One in which other processes took more than a tenth of a core is taken again.
None of the models, nor their shapes, is in the calibration: it times random networks.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import nn

from rooflight.bench.rates import native_dtypes
from rooflight.core.codec import read_json, to_json
from rooflight.core.files import write_file
from rooflight.core.types import Environment, GpuSpec, Measurement, Task, Workload
from rooflight.flows.calibration import calibrated_roof
from rooflight.flows.plan_here import predict_recipe
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment
from rooflight.hardware.process import keep_freed_memory
from rooflight.models.recipe import Recipe
from rooflight.models.resolve import resolve

CPU = torch.device("cpu")
BATCHES = {  # of steps that take two seconds at most on two cores
    "cnn": 128,
    "lstm": 128,
    "transfer:vgg16": 2,
    "resnet18": 8,
    "resnet50": 4,
    "mobilenet_v3_large": 16,
    "densenet121": 4,
    "efficientnet_b0": 8,
    "squeezenet1_1": 16,
    "shufflenet_v2_x1_0": 16,
    "regnet_y_400mf": 8,
    "convnext_tiny": 4,
    "vit_b_16": 4,
}
TASKS: tuple[Task, ...] = ("train", "infer")
ROUNDS, ROUND_SECONDS = 5, 0.25  # a round holds steps of so many seconds, and one at least
OTHERS, RETRIES = 0.1, 4  # cores that other processes may take in a round; how often it is taken again


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step, predicted by the calibration, by the plain roofline of the same calibration, and measured."""

    model: str
    task: Task
    dtype: str
    batch: int
    predicted_seconds: float
    low_seconds: float
    high_seconds: float
    roofline_seconds: float
    measured: Measurement
    error: float  # (predicted − measured) / measured
    roofline_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Absolute errors of some rows."""

    rows: int
    median: float
    p90: float
    worst: float
    bias: float  # median of the signed errors
    within: float  # share of the rows between low and high
    roofline_median: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The whole file."""

    calibration: str
    networks: int  # random ones that operators were timed in
    held_out_median: float  # the calibration's own word of its error
    environment: Environment
    rows: tuple[Row, ...]
    scores: dict[str, Score]  # all, and by task, dtype and model


def main() -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--calibration", type=Path, help="a file [default: the one of this machine]")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    settings = keep_freed_memory()
    machine = detect()
    dtypes, _ = native_dtypes(CPU)
    roof, why = calibrated_roof(CPU, machine, dtypes, arguments.calibration)
    if roof is None or roof.timed is None:
        raise SystemExit(f"{why}. Run rooflight bench calibrate first.")
    rows = _kept(arguments.out, set(arguments.only))
    for model in arguments.only:
        for row in _rows(model, dtypes, roof):
            print(f"{row.model} {row.task} {row.dtype}: {1e3 * row.measured.median:.1f} ms, {100 * row.error:+.1f} %")
            rows.append(row)
    result = Result(
        calibration=why,
        networks=roof.timed.networks,
        held_out_median=roof.timed.median_error,
        environment=environment(machine.cpu.model, threads=torch.get_num_threads(), settings=settings),
        rows=tuple(rows),
        scores=scores(rows),
    )
    result = replace(result, calibration=Path(why.partition("(")[2].rstrip(")")).name)
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result.scores))


def _kept(out: Path | None, asked: set[str]) -> list[Row]:
    """What an earlier run left of other models."""
    if out is None or not out.exists():
        return []
    return [row for row in read_json(Result, out).rows if row.model not in asked]


def scores(rows: list[Row]) -> dict[str, Score]:
    """Of all rows, and of every task, dtype and model."""
    groups = {"all": rows}
    for name in dict.fromkeys(word for row in rows for word in (row.task, row.dtype, row.model)):
        groups[name] = [row for row in rows if name in (row.task, row.dtype, row.model)]
    return {name: _score(group) for name, group in groups.items()}


def _score(rows: list[Row]) -> Score:
    errors = sorted(abs(row.error) for row in rows)
    return Score(
        rows=len(rows),
        median=median(errors),
        p90=quantiles(errors, n=10, method="inclusive")[-1] if len(errors) > 1 else errors[0],
        worst=errors[-1],
        bias=median(row.error for row in rows),
        within=sum(row.low_seconds <= row.measured.median <= row.high_seconds for row in rows) / len(rows),
        roofline_median=median(abs(row.roofline_error) for row in rows),
    )


def _rows(model: str, dtypes: tuple[str, ...], roof: GpuSpec) -> list[Row]:
    recipe = resolve(model)
    variants: list[tuple[Task, str]] = [(task, dtype) for task in TASKS for dtype in dtypes]
    workloads = {variant: _workload(model, recipe, *variant) for variant in variants}
    torch.manual_seed(0)
    network = recipe.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = {variant: _step(network, recipe, workload) for variant, workload in workloads.items()}
    measured = _measure(steps)
    return [_row(recipe, workloads[variant], roof, measured[variant]) for variant in variants]


def _workload(model: str, recipe: Recipe, task: Task, dtype: str) -> Workload:
    return Workload(
        model=model,
        task=task,
        batch=BATCHES[model],
        input_shape=recipe.input_shape,
        dtype=dtype,
        optimizer="adam" if task == "train" else None,
        channels_last=True,
    )


def _row(recipe: Recipe, workload: Workload, roof: GpuSpec, measured: Measurement) -> Row:
    _, predicted = predict_recipe(recipe, workload, roof, CPU)
    _, plain = predict_recipe(recipe, workload, replace(roof, timed=None), CPU)
    return Row(
        model=workload.model,
        task=workload.task,
        dtype=workload.dtype,
        batch=workload.batch,
        predicted_seconds=predicted.step_seconds,
        low_seconds=workload.batch / predicted.high,
        high_seconds=workload.batch / predicted.low,
        roofline_seconds=plain.step_seconds,
        measured=measured,
        error=predicted.step_seconds / measured.median - 1,
        roofline_error=plain.step_seconds / measured.median - 1,
    )


def _step(network: nn.Module, recipe: Recipe, workload: Workload) -> Callable[[], object]:
    """A training step or an inference pass on one batch of random numbers."""
    dtype = getattr(torch, workload.dtype)
    made = recipe.make_input(workload)
    batch = torch.randint(0, 1000, made.shape) if made.dtype == torch.int64 else torch.randn(made.shape)
    if batch.dim() == 4:
        batch = batch.contiguous(memory_format=torch.channels_last)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, fused=True) if workload.task == "train" else None

    def step() -> None:
        network.train(optimizer is not None)
        with torch.set_grad_enabled(optimizer is not None), torch.autocast("cpu", dtype, dtype != torch.float32):
            scores = network(batch)
            loss = F.cross_entropy(scores, torch.arange(len(scores)) % scores.shape[1])
        if optimizer is not None:
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return step


def _measure(steps: dict[tuple[Task, str], Callable[[], object]]) -> dict[tuple[Task, str], Measurement]:
    """Seconds of each step: medians over rounds, in which the steps take turns."""
    calls = {}
    for variant, step in steps.items():
        step()
        begin = perf_counter()
        step()
        calls[variant] = max(1, round(ROUND_SECONDS / (perf_counter() - begin)))
    seconds: dict[tuple[Task, str], list[float]] = {variant: [] for variant in steps}
    for _ in range(ROUNDS):
        for variant, step in steps.items():
            seconds[variant].append(_quiet_round(step, calls[variant]))
    return {variant: _summary(" ".join(variant), values) for variant, values in seconds.items()}


def _quiet_round(step: Callable[[], object], calls: int) -> float:
    """Seconds a step; the first, with the caches as another network left them, does not count."""
    for _ in range(RETRIES):
        step()
        before, begin = _other_seconds(), perf_counter()
        for _ in range(calls):
            step()
        wall = perf_counter() - begin
        if _other_seconds() - before <= OTHERS * wall + 0.03:  # the kernel counts in hundredths
            break
    return wall / calls


def _other_seconds() -> float:
    """Seconds of all cores that other processes have taken since the machine started."""
    words = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, interrupts, soft, stolen = map(int, words[:8])
    own = os.times()
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def _summary(name: str, values: list[float]) -> Measurement:
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Measurement(name=name, unit="s", median=middle, low=low, high=high, n=len(values))


if __name__ == "__main__":
    main()
