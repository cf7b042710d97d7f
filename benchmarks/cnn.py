"""The CNN of the classic tutorial, trained by Rooflight and by its peers, interleaved on one machine.

    python -m benchmarks.cnn --peers-python PEERS/bin/python --out benchmarks/results/cnn-DATE.json

Each variant is a process of its own. A round runs every variant once, in an order that rotates from round to round, so
that a drift of the machine's speed cancels in the ratios. Compute is compared with compute: the steps of an epoch inside
one long fit, the first epoch left out. Whole epochs, with what a framework waits for, stand in a column of their own.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.record import Comparison, Row, Run, summarise
from rooflight.core.codec import to_json
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


VARIANTS = (
    Variant(name="rooflight", worker="rooflight_fit", argument="rooflight", peer=False),
    Variant(name="rooflight, augmented", worker="rooflight_fit", argument="rooflight-augmented", peer=False),
    Variant(name="rooflight, bfloat16", worker="rooflight_fit", argument="rooflight-bfloat16", peer=False),
    Variant(name="Keras on TensorFlow", worker="keras_fit", argument="keras-tensorflow"),
    Variant(name="Keras on JAX", worker="keras_fit", argument="keras-jax"),
    Variant(name="Keras on PyTorch", worker="keras_fit", argument="keras-torch"),
    Variant(name="PyTorch, DataLoader", worker="torch_loop", argument="loader-0"),
    Variant(name="PyTorch, DataLoader, 2 workers", worker="torch_loop", argument="loader-2"),
    Variant(name="PyTorch, in memory", worker="torch_loop", argument="memory-0"),
    Variant(name="Lightning", worker="lightning_fit", argument="lightning"),
    Variant(name="PyTorch, DataLoader, malloc kept", worker="torch_loop", argument="loader-0", environment=KEPT),
    Variant(name="PyTorch, in memory, malloc kept", worker="torch_loop", argument="memory-0", environment=KEPT),
    Variant(name="Lightning, malloc kept", worker="lightning_fit", argument="lightning", environment=KEPT),
    Variant(name="Keras on TensorFlow, bfloat16", worker="keras_fit", argument="keras-tensorflow-bfloat16"),
    Variant(name="PyTorch, DataLoader, bfloat16", worker="torch_loop", argument="loader-0-bfloat16"),
)


def main() -> None:
    """Run the rounds, print the table or the JSON, and write the file."""
    arguments = _arguments()
    chosen = [each for each in VARIANTS if not arguments.only or each.name in arguments.only]
    runs = tuple(_rounds(arguments, chosen))
    machine = detect()
    threads = _threads()
    result = Comparison(
        task="train the tutorial's CNN, 28×28×1, Adam, float32 unless said",
        environment=environment(machine.cpu.model, threads=threads),
        command=shlex.join(["python", "-m", "benchmarks.cnn", *_public(sys.argv[1:])]),
        epochs=arguments.epochs,
        rows=summarise(runs),
        runs=runs,
    )
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result) if arguments.json else "\n\n".join(table_text(each) for each in _tables(result.rows)))


def _rounds(arguments: argparse.Namespace, chosen: Sequence[Variant]) -> Iterator[Run]:
    for number in range(arguments.rounds):
        shift = number * 5 % len(chosen)
        for variant in [*chosen[shift:], *chosen[:shift]]:
            for batch in arguments.batch:
                run = _run(variant, batch, number, arguments)
                print(f"round {number + 1} batch {batch} {variant.name}: {run.images_per_second:,.0f}", file=sys.stderr)
                yield run


def _run(variant: Variant, batch: int, number: int, arguments: argparse.Namespace) -> Run:
    """One process; raises with its last words if it fails."""
    python = arguments.peers_python if variant.peer else sys.executable
    command = [python, str(WORKERS / f"{variant.worker}.py"), variant.argument, str(arguments.data)]
    command += [str(batch), str(arguments.epochs), str(_threads())]
    threads = {"OMP_NUM_THREADS": str(_threads())}
    path = {} if variant.peer else {"PYTHONPATH": str(SOURCE)}
    settings = {**os.environ, **threads, **path, **variant.environment, "BENCHMARK_STARTED": str(time.time())}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{variant.name} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(variant=variant.name, batch=batch, round=number, **found)


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _public(arguments: Sequence[str]) -> list[str]:
    """The command without this machine's paths."""
    return ["PEERS/bin/python" if word.endswith("python") else word for word in arguments]


def _tables(rows: Sequence[Row]) -> Iterator[Table]:
    columns = ("variant", "images/s", "quartiles", "Rooflight is", "quartiles", "whole epochs")
    columns += ("first step", "peak memory", "accuracy")
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
        yield Table(title=f"batch {batch}", columns=columns, rows=cells)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="python of the environment that holds the peers")
    parser.add_argument(
        "--data", type=Path, default=bundled_path("fashion-mnist-12k.npz"), help="an .npz as Keras has it"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="the first is warm-up")
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--only", nargs="+", help="names of variants; rooflight must be among them")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
