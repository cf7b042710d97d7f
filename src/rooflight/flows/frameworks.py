"""`rooflight bench frameworks`: the classic models in every framework that is installed, side by side."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

from rooflight.core.benches import FrameworkComparison, FrameworkRow, FrameworkRun, NotRun, Ratio
from rooflight.core.codec import from_plain
from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError, nearest, refuse_seconds
from rooflight.core.files import refuse_unwritable
from rooflight.core.tables import Report, Table
from rooflight.core.types import Measurement
from rooflight.core.units import show_bytes, show_rate, show_seconds
from rooflight.flows.answer import keep_answer
from rooflight.flows.roof import device_name

REFERENCE = "rooflight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A way to run the models."""

    worker: str  # module
    needs: tuple[str, ...]  # packages
    install: str
    environment: Mapping[str, str]


def _keras(backend: str) -> Framework:
    extra = "keras" if backend == "torch" else f"keras,{backend}"
    return Framework(
        worker="rooflight.bench.keras_worker",
        needs=("keras", backend),
        install=f"pip install 'rooflight[{extra}]' (from a checkout: '.[{extra}]')",
        environment={"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


FRAMEWORKS: Mapping[str, Framework] = {
    "keras-tensorflow": _keras("tensorflow"),
    "keras-jax": _keras("jax"),
    "keras-torch": _keras("torch"),
    "pytorch": Framework(
        worker="rooflight.bench.torch_worker", needs=("torch",), install="pip install torch", environment={}
    ),
    REFERENCE: Framework(
        worker="rooflight.flows.contender", needs=("torch",), install="pip install torch", environment={}
    ),
}
# Model → (batch on a CPU, batch on a GPU, steps of an epoch).
MODELS: Mapping[str, tuple[int, int, int]] = {"cnn": (128, 128, 40), "lstm": (128, 128, 40), "vgg16": (8, 64, 3)}

# What the caller's shell may hold, and what would change one framework unseen.
SCRUBBED = ("GLIBC_", "MALLOC_", "LD_PRELOAD", "OMP_", "KMP_", "MKL_", "TF_", "XLA_", "KERAS_", "JAX_", "TORCH")


def frameworks(
    *,
    models: Sequence[str] = (),
    batch: int | None = None,
    names: Sequence[str] = (),
    dtype: str = "float32",
    rounds: int = 3,
    seconds: float = 2.0,
    limit_seconds: float = 900.0,
    device: str = "auto",
    out: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Train and ask each model in each framework, in a process of its own, round after round.

    models         of MODELS; none: all
    names          of FRAMEWORKS; none: all
    batch          None: 128, VGG16 8 on a CPU and 64 on a GPU
    seconds        of training that a process times, at least; half of it again for inference
    limit_seconds  after which a process is ended, and its framework left out of that model
    raises         ConfigError for a name that is not known or a number out of range
    """
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.hardware.process import busy_cores
    from rooflight.train.device import pick_device

    console = console or Silent()
    models, names = _known("model", models, MODELS), _known("framework", names, FRAMEWORKS)
    _check(batch, rounds, seconds, limit_seconds, out)
    where, why = pick_device(device)
    gpu = (where.index or 0) if where.type == "cuda" else None
    machine = detect()
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = busy_cores()
    for line in busy:
        console.say(line)
    absent = {name: reason for name in names if (reason := missing(FRAMEWORKS[name]))}
    present = [name for name in names if name not in absent]
    console.say(f"device {where} ({why}), {dtype}, {threads} threads; {', '.join(present)}")
    answer = FrameworkComparison(
        device=device_name(where, machine),
        dtype=dtype,
        reference=REFERENCE,
        environment=environment(device_name(where, machine), threads=threads, settings=busy),
        rows=(),
        runs=(),
        not_run=tuple(NotRun(what=name, reason=reason) for name, reason in absent.items()),
    )
    for model in models:
        on_cpu, on_gpu, steps = MODELS[model]
        task = {
            "model": model,
            "batch": batch or (on_cpu if where.type == "cpu" else on_gpu),
            "steps": steps,
            "dtype": dtype,
            "device": where.type,
            "threads": threads,
            "seconds": seconds,
        }
        for number in range(1, rounds + 1):
            answer = _round(answer, number, present, task, gpu, limit_seconds, console)
            report = keep_answer(_report(answer), out)  # after each round: an hour's work may be stopped
    return report


def _report(answer: FrameworkComparison) -> Report:
    return Report(answer=answer, tables=_tables(answer), notes=_notes(answer), exit_code=0 if answer.rows else 1)


def missing(framework: Framework) -> str:
    """Why the framework cannot be run here; empty if it can."""
    absent = [package for package in framework.needs if importlib.util.find_spec(package) is None]
    return f"not installed: {' and '.join(absent)}. Try {framework.install}" if absent else ""


def _round(
    answer: FrameworkComparison,
    number: int,
    names: Sequence[str],
    task: Mapping[str, object],
    gpu: int | None,
    limit_seconds: float,
    console: Console,
) -> FrameworkComparison:
    """Every framework once, in turn; one that failed on this model is not asked again."""
    runs, not_run = list(answer.runs), list(answer.not_run)
    for name in names:
        label = f"{name}, {task['model']}"
        if any(each.what == label for each in not_run):
            continue
        found = _run(name, number, task, gpu, limit_seconds)
        if isinstance(found, str):
            not_run.append(NotRun(what=label, reason=found))
            runs = [run for run in runs if (run.framework, run.model) != (name, task["model"])]
            console.say(f"{label}, round {number}: {found}")
        else:
            runs.append(found)
            console.say(f"{label}, round {number}: {show_rate(found.train_samples_per_second)}")
    return replace(answer, runs=tuple(runs), rows=summarise_runs(runs), not_run=tuple(not_run))


def _run(
    name: str, number: int, task: Mapping[str, object], gpu: int | None, limit_seconds: float
) -> FrameworkRun | str:
    """One process's figures, or why it has none."""
    from rooflight.bench.processes import run_module

    framework = FRAMEWORKS[name]
    settings = worker_environment(framework, gpu, threads=task["threads"])
    document = json.dumps({**task, "framework": name, "started": time.time()})
    ended = run_module(framework.worker, document, environment=settings, seconds=limit_seconds)
    if ended.answer is None:
        return ended.reason
    place = {"framework": name, "model": task["model"], "batch": task["batch"], "round": number}
    return from_plain(FrameworkRun, {**json.loads(ended.answer), **place}, what=f"the answer of {name}")


def worker_environment(framework: Framework, gpu: int | None, *, threads: object) -> dict[str, str]:
    """The same for every framework: as many threads, one GPU or none, nothing that the shell sets for one of them.

    gpu  as PyTorch counts in this process; None: the CPU
    """
    settings = {key: value for key, value in os.environ.items() if not key.startswith(SCRUBBED)}
    settings |= {"OMP_NUM_THREADS": str(threads)}
    if gpu is None:
        settings |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    else:
        settings |= only_gpu(gpu)
    return settings | dict(framework.environment)


def only_gpu(index: int) -> dict[str, str]:
    """What makes one of this process's GPUs the only one that a worker sees.

    PyTorch counts among the GPUs that the user's own list leaves, so that list's entry is passed on, be it a number, a
    UUID or a MIG device's. ROCR_VISIBLE_DEVICES stays as it is: the other two count among what it leaves.
    """
    asked = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if os.environ.get(name)}
    entries = {name: [entry.strip() for entry in words.split(",")] for name, words in asked.items()}
    chosen = {name: words[index] for name, words in entries.items() if index < len(words)}
    # PyTorch for ROCm reads both, and refuses to start where they differ.
    return {"CUDA_VISIBLE_DEVICES": chosen.get("HIP_VISIBLE_DEVICES", str(index))} | chosen


def summarise_runs(runs: Sequence[FrameworkRun]) -> tuple[FrameworkRow, ...]:
    """A row for each model and framework, the fastest at training first."""
    rows = [
        _row([run for run in runs if (run.model, run.framework) == key], runs)
        for key in dict.fromkeys((run.model, run.framework) for run in runs)
    ]
    order = list(dict.fromkeys(row.model for row in rows))
    return tuple(sorted(rows, key=lambda row: (order.index(row.model), -row.train.median)))


def _row(mine: Sequence[FrameworkRun], runs: Sequence[FrameworkRun]) -> FrameworkRow:
    first = mine[0]
    reference = {run.round: run for run in runs if (run.framework, run.model) == (REFERENCE, first.model)}
    pairs = [(reference[run.round], run) for run in mine if run.round in reference]
    return FrameworkRow(
        framework=first.framework,
        model=first.model,
        batch=first.batch,
        train=_measured("training", [run.train_samples_per_second for run in mine]),
        infer=_measured("inference", [run.infer_samples_per_second for run in mine]),
        train_ratio=_ratio([ours.train_samples_per_second / run.train_samples_per_second for ours, run in pairs]),
        infer_ratio=_ratio([ours.infer_samples_per_second / run.infer_samples_per_second for ours, run in pairs]),
        first_step_seconds=median(run.first_step_seconds for run in mine),
        peak_bytes=round(median(run.peak_bytes for run in mine)),
        parameters=first.parameters,
    )


def _measured(name: str, values: Sequence[float]) -> Measurement:
    low, middle, high = _spread(values)
    return Measurement(name=name, unit="samples/s", median=middle, low=low, high=high, n=len(values))


def _ratio(values: Sequence[float]) -> Ratio | None:
    if not values:
        return None
    low, middle, high = _spread(values)
    return Ratio(median=middle, low=low, high=high)


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Quartiles; of a single value, that value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _tables(answer: FrameworkComparison) -> tuple[Table, ...]:
    columns = ("framework", "training", "quartiles", "ratio", "inference", "ratio", "first step", "peak memory")
    tables = []
    for model in dict.fromkeys(row.model for row in answer.rows):
        rows = [row for row in answer.rows if row.model == model]
        title = f"{model}, batch {rows[0].batch}, {answer.dtype}, samples/s"
        tables.append(Table(title=title, columns=columns, rows=tuple(_cells(row) for row in rows)))
    if answer.not_run:
        left_out = tuple((each.what, each.reason) for each in answer.not_run)
        tables.append(Table(columns=("not run", "why"), rows=left_out))
    return tuple(tables)


def _cells(row: FrameworkRow) -> tuple[str, ...]:
    return (
        row.framework,
        _figure(row.train.median),
        f"{_figure(row.train.low)}-{_figure(row.train.high)}",
        f"{row.train_ratio.median:.2f}×" if row.train_ratio else "",
        _figure(row.infer.median),
        f"{row.infer_ratio.median:.2f}×" if row.infer_ratio else "",
        show_seconds(row.first_step_seconds),
        show_bytes(row.peak_bytes),
    )


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _notes(answer: FrameworkComparison) -> tuple[str, ...]:
    notes = [
        f"A ratio is {REFERENCE}'s samples/s over the framework's, round by round: above 1, {REFERENCE} is faster.",
        f"On {answer.device}; a process each, rounds interleaved; first step counts from the start of the process.",
    ]
    if len({run.round for run in answer.runs}) < 3:
        notes.append("Fewer than three rounds: a hiccup of the machine can decide a ratio.")
    return tuple(notes)


def _known(what: str, asked: Sequence[str], known: Mapping[str, object]) -> tuple[str, ...]:
    """The names that were asked for, commas taken apart; all if none was."""
    words = [word.strip() for each in asked for word in each.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise ConfigError(f"bench frameworks knows no {what} {word!r}.{nearest(word, known)}")
    return tuple(dict.fromkeys(words)) or tuple(known)


def _check(batch: int | None, rounds: int, seconds: float, limit_seconds: float, out: Path | None) -> None:
    if batch is not None and batch < 1:
        raise ConfigError(f"--batch {batch}: it must be 1 or more.")
    if rounds < 1:
        raise ConfigError(f"--rounds {rounds}: it must be 1 or more.")
    refuse_seconds("--seconds", seconds)
    refuse_seconds("--limit", limit_seconds)
    if seconds >= limit_seconds:
        raise ConfigError(f"--seconds {seconds:g}: it must be below --limit ({limit_seconds:g}).")
    if out:
        refuse_unwritable(out)
