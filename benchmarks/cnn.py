"""The CNN of the classic tutorial, trained by Rooflight and by its peers, interleaved on one machine.

    python -m benchmarks.cnn --peers-python PEERS/bin/python --out benchmarks/results/cnn-DATE.json

Each variant is a process of its own. A round runs every variant once, in an order that rotates from round to round, so
that a drift of the machine's speed cancels in the ratios. Compute is compared with compute: an epoch's steps inside
one long fit, the first epoch left out. Whole epochs, with what a framework waits for, stand in a column of their own.
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
from rooflight.core.codec import to_json
from rooflight.core.errors import nearest
from rooflight.core.files import write_file
from rooflight.core.tables import Table, table_text
from rooflight.core.units import show_bytes
from rooflight.data.sources import bundled_path
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

WORKERS = Path(__file__).parent / "workers"
SOURCE = Path(__file__).parent.parent / "src"
# What Rooflight's command sets by mallopt, set for a peer from outside.
KEPT = {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to train the network."""

    name: str
    worker: str
    argument: str
    peer: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    bfloat16: bool = False  # left out on a CPU that would emulate it, ten times slower


VARIANTS = (
    Variant(name="rooflight", worker="rooflight_fit", argument="rooflight", peer=False),
    Variant(name="rooflight, augmented", worker="rooflight_fit", argument="rooflight-augmented", peer=False),
    Variant(name="rooflight, automatic dtype", worker="rooflight_fit", argument="rooflight-auto", peer=False),
    Variant(name="Keras on TensorFlow", worker="keras_fit", argument="keras-tensorflow"),
    Variant(name="Keras on JAX", worker="keras_fit", argument="keras-jax"),
    Variant(name="Keras on PyTorch", worker="keras_fit", argument="keras-torch"),
    Variant(name="PyTorch, DataLoader", worker="torch_loop", argument="loader-0"),
    Variant(name="PyTorch, DataLoader, 2 workers", worker="torch_loop", argument="loader-2"),
    Variant(name="PyTorch, in memory", worker="torch_loop", argument="memory-0"),
    Variant(name="Lightning", worker="lightning_fit", argument="lightning"),
    Variant(name="Keras on TensorFlow, malloc kept", worker="keras_fit", argument="keras-tensorflow", environment=KEPT),
    Variant(name="PyTorch, DataLoader, malloc kept", worker="torch_loop", argument="loader-0", environment=KEPT),
    Variant(name="PyTorch, in memory, malloc kept", worker="torch_loop", argument="memory-0", environment=KEPT),
    Variant(name="Lightning, malloc kept", worker="lightning_fit", argument="lightning", environment=KEPT),
    Variant(
        name="Keras on TensorFlow, bfloat16", worker="keras_fit", argument="keras-tensorflow-bfloat16", bfloat16=True
    ),
    Variant(name="PyTorch, DataLoader, bfloat16", worker="torch_loop", argument="loader-0-bfloat16", bfloat16=True),
)
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


def main() -> None:
    """Run the rounds, print the table or the JSON, and write the file after every round."""
    arguments = _arguments()
    machine = detect()
    hardware = any(name.endswith("_bf16") for name in machine.cpu.isa)
    chosen = [each for each in VARIANTS if _asked(each, arguments.only) and (hardware or not each.bfloat16)]
    result = Comparison(
        task="train the tutorial's CNN, 28×28×1, Adam, float32 unless said",
        environment=environment(machine.cpu.model, threads=_threads()),
        command=shlex.join(["python", "-m", "benchmarks.cnn", *_public(sys.argv[1:])]),
        epochs=arguments.epochs,
        rows=(),
        runs=(),
    )
    for number in range(arguments.rounds):
        result = _round(result, number, chosen, arguments)
        if arguments.out:
            write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result) if arguments.json else "\n\n".join(map(table_text, _tables(result.rows))))
    for failure in result.failures:
        print(failure, file=sys.stderr)
    sys.exit(1 if result.failures else 0)


def _asked(variant: Variant, only: Sequence[str] | None) -> bool:
    """The reference is always in: a ratio needs it."""
    return only is None or variant.name in only or variant.name == REFERENCE


def _round(result: Comparison, number: int, chosen: Sequence[Variant], arguments: argparse.Namespace) -> Comparison:
    """Every variant once at each batch size. The start moves on evenly from round to round."""
    start = number * len(chosen) // arguments.rounds
    runs, failures = list(result.runs), list(result.failures)
    for batch in arguments.batch:
        for variant in [*chosen[start:], *chosen[:start]]:
            label = f"{variant.name}, batch {batch}"
            if any(failure.startswith(f"{label}, ") for failure in failures):
                continue  # it failed in an earlier round
            found = _run(variant, batch, number, arguments)
            if isinstance(found, str):
                failures.append(f"{label}, round {number + 1}: {found}")
                if variant.name == REFERENCE:
                    sys.exit(failures[-1])
                print(failures[-1], file=sys.stderr)
                continue
            runs.append(found)
            print(f"round {number + 1} batch {batch} {variant.name}: {found.images_per_second:,.0f}", file=sys.stderr)
    return replace(result, runs=tuple(runs), rows=summarise(runs), failures=tuple(failures))


def _run(variant: Variant, batch: int, number: int, arguments: argparse.Namespace) -> Run | str:
    """One process; its last words if it fails."""
    python = arguments.peers_python if variant.peer else sys.executable
    command = [python, str(WORKERS / f"{variant.worker}.py"), variant.argument, str(arguments.data)]
    command += [str(batch), str(arguments.epochs), str(_threads())]
    settings = {key: value for key, value in os.environ.items() if not key.startswith(SCRUBBED)}
    settings |= {"OMP_NUM_THREADS": str(_threads()), "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    settings |= {"PYTHONPATH": str(SOURCE)} | dict(
        variant.environment
    )  # peers' workers share networks and clocks with it
    settings["BENCHMARK_STARTED"] = str(time.time())
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Run(variant=variant.name, batch=batch, round=number, **json.loads(done.stdout.splitlines()[-1]))


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _public(arguments: Sequence[str]) -> list[str]:
    """The command without this machine's paths."""
    return ["PEERS/bin/python" if word.endswith("/python") else word for word in arguments]


def _tables(rows: Sequence[Row]) -> list[Table]:
    tables = []
    rates = ("images/s", "quartiles", "Rooflight is", "quartiles", "whole epochs")
    columns = ("variant", *rates, "first step", "peak memory", "accuracy")
    for batch in sorted({row.batch for row in rows}):
        cells = tuple(
            (
                row.variant,
                f"{row.images_per_second:,.0f}",
                f"{row.images_per_second_low:,.0f}-{row.images_per_second_high:,.0f}",
                f"{row.rooflight_ratio:.2f}×",
                f"{row.rooflight_ratio_low:.2f}-{row.rooflight_ratio_high:.2f}",
                f"{row.whole_images_per_second:,.0f}",
                f"{row.first_step_seconds:.1f} s",
                show_bytes(row.peak_bytes),
                f"{row.test_accuracy:.3f}",
            )
            for row in rows
            if row.batch == batch
        )
        tables.append(Table(title=f"batch {batch}", columns=columns, rows=cells))
    return tables


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="python of the environment that holds the peers")
    parser.add_argument(
        "--data", type=Path, default=bundled_path("fashion-mnist-12k.npz"), help="an .npz as Keras has it"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="the first is warm-up")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="variants to run beside rooflight: see VARIANTS")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = [each.name for each in VARIANTS]
    for name in arguments.only or ():
        if name not in names:
            parser.error(f"there is no variant {name!r}.{nearest(name, names)}")
    if arguments.rounds < 1 or arguments.epochs < 2 or min(arguments.batch) < 1:
        parser.error("--rounds and --batch must be 1 or more, --epochs 2 or more: the first is warm-up.")
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"{arguments.out.parent} is no folder: the result would be lost.")
    return arguments


if __name__ == "__main__":
    main()
