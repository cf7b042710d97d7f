"""Test accuracy of `rooflight train cnn` with its defaults, over seeds.

python -m benchmarks.cnn_accuracy --data fashion-mnist bundled --seeds 3 --out benchmarks/results/cnn-accuracy-DATE.json
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.runs import DataInfo, TrainResult
from rooflight.core.training import TrainConfig
from rooflight.core.types import Environment
from rooflight.flows.train import train


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The held-out accuracy of each seed after the last epoch."""

    data: DataInfo
    config: TrainConfig
    dtype: str
    accuracies: tuple[float, ...]
    median: float
    environment: Environment


def main() -> None:
    """Train each set with each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bundled"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = to_json([_accuracy(data, arguments.seeds) for data in arguments.data])
    if arguments.out:
        write_file(arguments.out, found + "\n")
    print(found)


def _accuracy(data: str, seeds: int) -> Accuracy:
    results = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            answer = train(TrainConfig(data=data, seed=seed), out=Path(folder) / "run").answer
        assert isinstance(answer, TrainResult)
        results.append(answer)
    accuracies = tuple(found for result in results if (found := result.evaluation.accuracy) is not None)
    first = results[0]
    return Accuracy(
        data=first.data,
        config=first.config,
        dtype=first.dtype,
        accuracies=accuracies,
        median=median(accuracies),
        environment=first.environment,
    )


if __name__ == "__main__":
    main()
