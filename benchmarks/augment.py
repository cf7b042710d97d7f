"""A batch augmented by Rooflight and by its peers, interleaved on one machine.

    python -m benchmarks.augment --peers-python PEERS/bin/python --out benchmarks/results/augment-DATE.json

Each variant is a process of its own, started and warm before the first round. In a round each has one turn alone while
the others wait, in an order that moves on from round to round; a ratio is taken within a round, so that a drift of the
machine's speed cancels. workers/augmenters.py has what each variant does.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.tables import Table, table_text
from rooflight.core.types import Environment
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

WORKER = Path(__file__).parent / "workers" / "augmenters.py"
SOURCE = Path(__file__).parent.parent / "src"
REFERENCE = "rooflight"
VARIANTS = {  # as workers/augmenters.py names them, and as they are shown
    "rooflight": "Rooflight, cpu engine",
    "rooflight-reused": "Rooflight, cpu engine, into a tensor used again",
    "rooflight-hwc": "Rooflight, the same, images in channels-last memory",
    "torchvision-image": "torchvision v2, image by image",
    "torchvision-batch": "torchvision v2, batch, one draw for all its images",
    "kornia": "Kornia",
    "albumentations": "Albumentations, one process",
    "albumentations-workers": "Albumentations, 2 worker processes",
    "dali": "DALI, CPU pipeline",
    "keras": "Keras layers on TensorFlow (a random crop, not resized)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a variant did in one round."""

    variant: str
    threads: int
    round: int
    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant on so many cores. A ratio is Rooflight's images/s over the variant's, in the same round."""

    variant: str
    threads: int
    images_per_second: float
    images_per_second_low: float  # quartiles
    images_per_second_high: float
    rooflight_ratio: float
    rooflight_ratio_low: float
    rooflight_ratio_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole result, as it is stored."""

    task: str
    environment: Environment
    command: str
    seconds: float  # of a turn
    versions: Mapping[str, str]
    rows: tuple[Row, ...]
    turns: tuple[Turn, ...]
    failures: tuple[str, ...]  # variants that did not start, and their last words


class Worker:
    """A variant's process."""

    def __init__(self, name: str, threads: int, arguments: argparse.Namespace) -> None:
        self.name = name
        python = arguments.keras_python if name == "keras" else arguments.peers_python
        settings = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "TF_", "KERAS_"))}
        settings |= {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [python, str(WORKER), name, str(threads), str(arguments.seconds)],
            env=settings, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def answer(self) -> Any:
        """The next line that it prints; None if it ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return json.loads(line) if line.strip() else None

    def turn(self) -> float:
        """images/s of one turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self.answer()
        if answer is None:
            sys.exit(f"{self.name} ended in the middle: {self.last_words()}")
        return float(answer["images_per_second"])

    def last_words(self) -> str:
        """The last line of its stderr."""
        return (self.process.communicate()[1].strip().splitlines() or ["no word"])[-1]

    def end(self) -> None:
        """It leaves when its stdin is closed."""
        if self.process.poll() is None:
            self.process.communicate()


def main() -> None:
    """Both thread counts one after the other; print the table or the JSON."""
    arguments = _arguments()
    turns: list[Turn] = []
    versions: dict[str, str] = {}
    failures: list[str] = []
    for threads in arguments.threads:
        _measure(threads, arguments, turns, versions, failures)
    machine = detect()
    result = Comparison(
        task="64 images 256×256×3 uint8 → random resized crop 224, mirror, rotation ±15°, colour jitter "
        "(0.4, 0.4, 0.4, 0.1), normalised to float32; drawn for each image",
        environment=environment(machine.cpu.model, threads=max(arguments.threads)),
        command=shlex.join(["python", "-m", "benchmarks.augment", *_public(sys.argv[1:])]),
        seconds=arguments.seconds,
        versions=versions,
        rows=summarise(turns),
        turns=tuple(turns),
        failures=tuple(failures),
    )
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result) if arguments.json else "\n\n".join(map(table_text, tables(result.rows))))
    for failure in failures:
        print(failure, file=sys.stderr)


def _measure(
    threads: int, arguments: argparse.Namespace, turns: list[Turn], versions: dict[str, str], failures: list[str]
) -> None:
    """All rounds on so many cores; adds to the lists."""
    workers = []
    asked = [name for name in VARIANTS if name == REFERENCE or not arguments.only or name in arguments.only]
    started = [Worker(name, threads, arguments) for name in asked if threads > 1 or name != "albumentations-workers"]
    for worker in started:
        answer = worker.answer()
        if answer is None:
            failures.append(f"{worker.name}, {threads} threads: {worker.last_words()}")
            continue
        versions |= answer["versions"]
        workers.append(worker)
    for number in range(arguments.rounds):
        start = number * len(workers) // arguments.rounds
        for worker in [*workers[start:], *workers[:start]]:
            rate = worker.turn()
            turns.append(Turn(variant=worker.name, threads=threads, round=number, images_per_second=rate))
            print(f"{threads} threads, round {number + 1}, {worker.name}: {rate:,.0f} images/s", file=sys.stderr)
    for worker in workers:
        worker.end()


def summarise(turns: Sequence[Turn]) -> tuple[Row, ...]:
    """A row for each thread count and variant, fastest first."""
    reference = {(turn.threads, turn.round): turn.images_per_second for turn in turns if turn.variant == REFERENCE}
    rows = []
    for threads, variant in sorted({(turn.threads, turn.variant) for turn in turns}):
        mine = [turn for turn in turns if (turn.threads, turn.variant) == (threads, variant)]
        low, middle, high = _spread([turn.images_per_second for turn in mine])
        ratios = _spread([reference[threads, turn.round] / turn.images_per_second for turn in mine])
        rows.append(
            Row(
                variant=variant,
                threads=threads,
                images_per_second=middle,
                images_per_second_low=low,
                images_per_second_high=high,
                rooflight_ratio=ratios[1],
                rooflight_ratio_low=ratios[0],
                rooflight_ratio_high=ratios[2],
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.threads, -row.images_per_second)))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def tables(rows: Sequence[Row]) -> list[Table]:
    """One for each thread count."""
    made = []
    for threads in sorted({row.threads for row in rows}):
        cells = tuple(
            (
                VARIANTS[row.variant],
                f"{row.images_per_second:,.0f}",
                f"{row.images_per_second_low:,.0f}-{row.images_per_second_high:,.0f}",
                f"{row.rooflight_ratio:.2f}×",
                f"{row.rooflight_ratio_low:.2f}-{row.rooflight_ratio_high:.2f}",
            )
            for row in rows
            if row.threads == threads
        )
        columns = ("variant", "images/s", "quartiles", "Rooflight is", "quartiles")
        made.append(Table(title=f"{threads} cores" if threads > 1 else "1 core", columns=columns, rows=cells))
    return made


def _public(arguments: Sequence[str]) -> list[str]:
    """The command without this machine's paths."""
    return ["PEERS/bin/python" if word.endswith("/python") else word for word in arguments]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="python of the environment that holds the peers")
    parser.add_argument("--keras-python", help="python of the one that holds Keras and TensorFlow; as a rule the same")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="cores that a variant may use")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a variant's turn")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="variants to run beside rooflight")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.keras_python = arguments.keras_python or arguments.peers_python
    if arguments.rounds < 1 or arguments.seconds <= 0 or min(arguments.threads) < 1:
        parser.error("--rounds and --threads must be 1 or more, --seconds more than 0.")
    if arguments.out and not arguments.out.parent.is_dir():
        parser.error(f"{arguments.out.parent} is no folder: the result would be lost.")
    return arguments


if __name__ == "__main__":
    main()
