"""The CNN in every runtime under the four MLPerf-style scenarios of LoadGen; unverified, as MLCommons asks to say.

    python -m benchmarks.mlperf --out benchmarks/results/mlperf-DATE.json

Each runtime is what `rooflight bench mlperf cnn --runtime RUNTIME` gives. Exit 1 if a scenario did not come out VALID.
"""

import argparse
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.benches import ServingBenchmark
from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.tables import text
from rooflight.flows.mlperf import mlperf
from rooflight.flows.serving import RUNTIMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtimes:
    """The whole result, as it is stored."""

    command: str
    runtimes: tuple[ServingBenchmark, ...]


def main() -> None:
    """One runtime after the other; the file is written after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--seconds", type=float, default=10.0, help="that a test lasts, at least")
    parser.add_argument("--runtime", nargs="+", choices=RUNTIMES, default=RUNTIMES)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.mlperf", *sys.argv[1:]])
    found: list[ServingBenchmark] = []
    valid = True
    for runtime in arguments.runtime:
        report = mlperf(arguments.model, runtime=runtime, seconds=arguments.seconds)
        assert isinstance(report.answer, ServingBenchmark)
        print(text(report), end="\n\n", flush=True)
        found.append(report.answer)
        valid = valid and report.exit_code == 0
        if arguments.out:
            write_file(arguments.out, to_json(Runtimes(command=command, runtimes=tuple(found))) + "\n")
    sys.exit(0 if valid else 1)


if __name__ == "__main__":
    main()
