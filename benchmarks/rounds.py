"""Ways to train one network, each a process of its own, in rounds: Rooflight and its peers on one machine.

A round runs every variant once, in an order that rotates from round to round, so that a drift of the machine's speed
cancels in the ratios. Compute is compared with compute: an epoch's steps inside one long fit, the first epoch left out.
Whole epochs, with what a framework waits for, stand in a column of their own.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.record import REFERENCE, Comparison, Row, Run, summarise
from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import nearest
from rooflight.core.files import write_file
from rooflight.core.tables import Table, table_text
from rooflight.core.units import show_bytes
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

WORKERS = Path(__file__).parent / "workers"
SOURCE = Path(__file__).parent.parent / "src"
# What Rooflight's command sets by mallopt, set for a peer from outside.
KEPT = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647"}
# What the caller's shell may hold, and what would change one variant unseen.
SCRUBBED = (
    "GLIBC_",
    "MALLOC_",
    "LD_PRELOAD",
    "OMP_",
    "KMP_",
    "MKL_",
    "TF_",
    "XLA_",
    "KERAS_",
    "JAX_",
    "TORCH",
    "PYTHON",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to train the network."""

    name: str
    worker: str  # a file of workers/
    argument: str
    peer: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    bfloat16: bool = False  # left out on a CPU that would emulate it, ten times slower


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A network, its data, and who trains it."""

    name: str  # of the script: "cnn"
    model: str  # what the workers are told to build
    task: str  # one line for the record
    samples: str  # what they are called: "images"
    variants: Sequence[Variant]
    data: Path  # an .npz with x_train, y_train, x_test, y_test
    batches: Sequence[int]
    epochs: int = 3


def compete(contest: Contest, arguments: argparse.Namespace) -> None:
    """Run the rounds, print the table or the JSON, and write the file after every round. Exits 1 after a failure."""
    machine = detect()
    hardware = any(name.endswith("_bf16") for name in machine.cpu.isa)
    chosen = [each for each in contest.variants if _asked(each, arguments.only) and (hardware or not each.bfloat16)]
    result = Comparison(
        task=contest.task,
        environment=environment(machine.cpu.model, threads=_threads()),
        command=shlex.join(["python", "-m", f"benchmarks.{contest.name}", *_public(sys.argv[1:])]),
        epochs=arguments.epochs,
        rows=(),
        runs=(),
    )
    if arguments.add:
        earlier = from_json(Comparison, arguments.out.read_text())
        result = replace(result, runs=earlier.runs, failures=earlier.failures)
    done = 1 + max((run.round for run in result.runs), default=-1)
    for number in range(done, done + arguments.rounds):
        result = _round(result, number, chosen, contest.model, arguments)
        if arguments.out:
            write_file(arguments.out, to_json(result) + "\n")
    tables = _tables(result.rows, contest.samples)
    print(to_json(result) if arguments.json else "\n\n".join(map(table_text, tables)))
    for failure in result.failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if result.failures else 0)


def read_arguments(contest: Contest, description: str | None) -> argparse.Namespace:
    """The command line of a contest's script; ends the process with a sentence if it cannot be run."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="python of the environment that holds the peers")
    parser.add_argument("--data", type=Path, default=contest.data, help="an .npz as Keras has it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=contest.epochs, help="the first is warm-up")
    parser.add_argument("--batch", type=int, nargs="+", default=list(contest.batches))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants to run beside rooflight: see VARIANTS")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", action="store_true", help="rounds to those that --out holds")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = [each.name for each in contest.variants]
    for name in arguments.only or ():
        if name not in names:
            parser.error(f"there is no variant {name!r}.{nearest(name, names)}")
    if arguments.rounds < 1 or arguments.epochs < 2 or min(arguments.batch) < 1:
        parser.error("--rounds and --batch must be 1 or more, --epochs 2 or more: the first is warm-up.")
    if arguments.add and not (arguments.out and arguments.out.is_file()):
        parser.error("--add needs the --out of an earlier call.")
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"{arguments.out.parent} is no folder: the result would be lost.")
    return arguments


def run_worker(
    python: str, worker: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> dict[str, object] | str:
    """What a worker printed as its last line, read as JSON; its last words if it fails."""
    settings = {key: value for key, value in os.environ.items() if not key.startswith(SCRUBBED)}
    settings |= {"OMP_NUM_THREADS": str(_threads()), "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    settings |= {"PYTHONPATH": str(SOURCE)}  # peers' workers share networks and clocks with it
    settings |= dict(environment or {}) | {"BENCHMARK_STARTED": str(time.time())}
    command = [python, str(WORKERS / f"{worker}.py"), *arguments]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    line: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return line


def _asked(variant: Variant, only: Sequence[str] | None) -> bool:
    """The reference is always in: a ratio needs it."""
    return only is None or variant.name in only or variant.name == REFERENCE


def _round(
    result: Comparison, number: int, chosen: Sequence[Variant], model: str, arguments: argparse.Namespace
) -> Comparison:
    """Every variant once at each batch size. The start moves on evenly from round to round."""
    start = number * len(chosen) // max(number + 1, arguments.rounds)
    runs, failures = list(result.runs), list(result.failures)
    for batch in arguments.batch:
        for variant in [*chosen[start:], *chosen[:start]]:
            label = f"{variant.name}, batch {batch}"
            if any(failure.startswith(f"{label}, ") for failure in failures):
                continue  # it failed in an earlier round
            python = arguments.peers_python if variant.peer else sys.executable
            task = [model, variant.argument, str(arguments.data), str(batch), str(arguments.epochs), str(_threads())]
            found = run_worker(python, variant.worker, task, environment=variant.environment)
            if isinstance(found, str):
                failures.append(f"{label}, round {number + 1}: {found}")
                if variant.name == REFERENCE:
                    sys.exit(failures[-1])
                print(failures[-1], file=sys.stderr)
                continue
            runs.append(Run(variant=variant.name, batch=batch, round=number, **found))  # type: ignore[arg-type]
            print(
                f"round {number + 1} batch {batch} {variant.name}: {runs[-1].samples_per_second:,.0f}", file=sys.stderr
            )
    return replace(result, runs=tuple(runs), rows=summarise(runs), failures=tuple(failures))


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _public(arguments: Sequence[str]) -> list[str]:
    """The command without this machine's paths."""
    return ["PEERS/bin/python" if word.endswith("/python") else word for word in arguments]


def _tables(rows: Sequence[Row], samples: str) -> list[Table]:
    tables = []
    rates = (f"{samples}/s", "quartiles", "Rooflight is", "quartiles", "whole epochs")
    columns = ("variant", *rates, "first step", "peak memory", "accuracy")
    for batch in sorted({row.batch for row in rows}):
        cells = tuple(
            (
                row.variant,
                f"{row.samples_per_second:,.0f}",
                f"{row.samples_per_second_low:,.0f}-{row.samples_per_second_high:,.0f}",
                f"{row.rooflight_ratio:.2f}×",
                f"{row.rooflight_ratio_low:.2f}-{row.rooflight_ratio_high:.2f}",
                f"{row.whole_samples_per_second:,.0f}",
                f"{row.first_step_seconds:.1f} s",
                show_bytes(row.peak_bytes),
                f"{row.test_accuracy:.3f}",
            )
            for row in rows
            if row.batch == batch
        )
        tables.append(Table(title=f"batch {batch}", columns=columns, rows=cells))
    return tables
