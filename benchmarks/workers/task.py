"""What every worker shares: its arguments, the data, and the record that it prints. A peer's environment runs it."""

import argparse
import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from rooflight.bench.contender import ModelName, peak_bytes

CLASSES = 10


@dataclass
class Record:
    """Times of one training run. The first epoch is warm-up; evaluation is in none of them.

    rates        samples/s of each epoch's steps
    whole_rates  samples/s of each epoch from its beginning to its end, waiting for input included
    """

    batch: int
    epochs: int
    samples: int
    started: float  # wall clock when the process was asked for
    first_step_seconds: float = 0.0
    rates: list[float] = field(default_factory=list)
    whole_rates: list[float] = field(default_factory=list)
    children_bytes: int = 0

    def first_step_done(self) -> None:
        """Call when the first step's result is there."""
        if not self.first_step_seconds:
            self.first_step_seconds = time.time() - self.started

    def epoch_done(self, seconds: float, *, steps: tuple[int, float] | None = None) -> None:
        """An epoch took so long. `steps`: samples and seconds of its steps, where they are less than the whole."""
        samples, step_seconds = steps or (self.samples, seconds)
        self.rates.append(samples / step_seconds)
        self.whole_rates.append(self.samples / seconds)
        self.children_bytes = sum(peak_bytes(str(child.pid)) for child in multiprocessing.active_children())

    def finish(self, *, parameters: int, accuracy: float, versions: dict[str, str]) -> None:
        """Print the record as one line of JSON."""
        if len(self.rates) != self.epochs:
            sys.exit(f"asked for {self.epochs} epochs, {len(self.rates)} were timed")
        line = {
            "samples_per_second": median(self.rates[1:]),
            "whole_samples_per_second": median(self.whole_rates[1:]),
            "first_step_seconds": self.first_step_seconds,
            "peak_bytes": peak_bytes("self") + self.children_bytes,
            "parameters": parameters,
            "test_accuracy": accuracy,
            "versions": versions,
        }
        print(json.dumps(line), flush=True)


@dataclass(frozen=True)
class Task:
    """What to train on, and how."""

    model: ModelName
    variant: str
    data: str
    batch: int
    epochs: int
    threads: int

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """x_train, y_train, x_test, y_test: images in uint8 (N, H, W) or token ids (N, T), as stored; int64 (N,)."""
        with np.load(self.data, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[key] for key in ("x_train", "y_train", "x_test", "y_test"))
        return x_train, y_train.astype(np.int64), x_test, y_test.astype(np.int64)

    def record(self, samples: int) -> Record:
        """An empty record of this task."""
        return Record(self.batch, self.epochs, samples, started=float(os.environ["BENCHMARK_STARTED"]))


def read_task() -> Task:
    """The task from the command line."""
    parser = argparse.ArgumentParser()
    for name in ("model", "variant", "data"):
        parser.add_argument(name)
    for name in ("batch", "epochs", "threads"):
        parser.add_argument(name, type=int)
    return Task(**vars(parser.parse_args(sys.argv[1:])))
