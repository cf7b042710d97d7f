"""How long a plan takes from the shell, imports included: ResNet-50 against the whole catalogue.

    python -m benchmarks.plan_time --out benchmarks/results/plan-time-DATE.json

Each command is a process of its own, in turns; the clock runs from its start to its end. Nothing is kept between them
but Python's own compiled modules. This machine is left out (--no-measure).
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from time import perf_counter

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.types import Environment, Measurement
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment

GOALS = {"model": 4.0, "saved trace": 0.4}  # seconds
PLAN = (sys.executable, "-m", "rooflight", "plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTimes:
    """The whole file."""

    environment: Environment
    goals: dict[str, float]
    rows: tuple[Measurement, ...]


def main() -> None:
    """Run the commands in turns, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "resnet50.json"
        saved.write_text(_run((*PLAN, "resnet50", "--trace-only", "--json"))[1])
        commands = {
            "model": (*PLAN, "resnet50", "--no-measure", "--calibration", "none"),
            "saved trace": (*PLAN, str(saved)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                seconds[name].append(_run(command)[0])
    rows = tuple(_summary(name, values) for name, values in seconds.items())
    result = PlanTimes(environment=environment(detect().cpu.model, threads=1), goals=GOALS, rows=rows)
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result))


def _run(command: Sequence[str]) -> tuple[float, str]:
    """Seconds of the command, and what it printed."""
    begin = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return perf_counter() - begin, done.stdout


def _summary(name: str, values: list[float]) -> Measurement:
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return Measurement(name=name, unit="s", median=middle, low=low, high=high, n=len(values))


if __name__ == "__main__":
    main()
