"""What every worker shares: its arguments, the data, and the record that it prints. Standard library and NumPy only."""

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import dataclass, field

import numpy as np

CLASSES = 10
LEARNING_RATE = 1e-3


@dataclass
class Record:
    """Times of one training run; `seconds` are those of whole epochs, evaluation left out."""

    batch: int
    epochs: int
    images: int
    started: float  # wall clock when the process was asked for
    first_step_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)

    def first_step_done(self) -> None:
        """Call when the first step's result is there."""
        if not self.first_step_seconds:
            self.first_step_seconds = time.time() - self.started

    def finish(self, *, parameters: int, accuracy: float, versions: dict[str, str]) -> None:
        """Print the record as one line of JSON. The first epoch is warm-up."""
        own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        measured = sorted(self.seconds[1:])
        middle = measured[len(measured) // 2] if len(measured) % 2 else sum(measured[len(measured) // 2 - 1 :][:2]) / 2
        line = {
            "images_per_second": self.images / middle,
            "first_step_seconds": self.first_step_seconds,
            "peak_bytes": 1024 * (own + children),
            "parameters": parameters,
            "test_accuracy": accuracy,
            "versions": versions,
        }
        print(json.dumps(line), flush=True)


@dataclass(frozen=True)
class Task:
    """What to train on, and how."""

    variant: str
    data: str
    batch: int
    epochs: int
    threads: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x_train, y_train, x_test, y_test: uint8 (N, 28, 28) and int64 (N,)."""
        with np.load(self.data, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[key] for key in ("x_train", "y_train", "x_test", "y_test"))
        return x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64)

    def record(self, images: int) -> Record:
        """An empty record of this task."""
        return Record(self.batch, self.epochs, images, started=float(os.environ["BENCHMARK_STARTED"]))


def read_task() -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("variant")
    parser.add_argument("data")
    for name in ("batch", "epochs", "threads"):
        parser.add_argument(name, type=int)
    return Task(**vars(parser.parse_args(sys.argv[1:])))
