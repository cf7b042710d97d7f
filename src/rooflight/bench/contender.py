"""What every framework's worker shares: task, data, and how it is timed. NumPy and the standard library only."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Literal, Protocol

import numpy as np

from rooflight.core.codec import from_json

ModelName = Literal["cnn", "lstm", "vgg16"]
LEARNING_RATE = 1e-3
LEAST_CALLS = 3  # of an inference batch that are timed
WORDS, LENGTH = 1000, 20  # of the text model


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One process's work: a model in a framework, trained and then asked."""

    framework: str
    model: ModelName
    batch: int
    steps: int  # of an epoch; the data are so many batches
    dtype: Literal["float32", "bfloat16"]
    device: Literal["cpu", "cuda"]
    threads: int
    seconds: float  # of training that are timed, at least
    started: float  # wall clock when the process was asked for


class FirstStep:
    """Seconds from the start of the process, imports included, to the end of its first training step."""

    def __init__(self, started: float) -> None:
        self.started = started
        self.seconds: float | None = None

    def done(self) -> None:
        """Call after each step; the first call counts."""
        if self.seconds is None:
            self.seconds = time.time() - self.started


class Contender(Protocol):
    """A framework with the model built, the data at hand."""

    @property
    def parameters(self) -> int:
        """Of the model, frozen ones too."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Package → version."""

    def train(self, epochs: int) -> list[float]:
        """Train on; samples/s of each epoch's steps."""

    def infer(self) -> object:
        """Scores of one batch, there when the call returns."""


def compete(prepare: Callable[[Task, FirstStep], Contender]) -> None:
    """The worker's main: read the task from the command line, train, ask, print one line of JSON."""
    task = from_json(Task, sys.argv[1], what="the task")
    first = FirstStep(task.started)
    contender = prepare(task, first)
    line = {
        "train_samples_per_second": training_rate(contender, task),
        "infer_samples_per_second": task.batch / inference_seconds(contender.infer, task.seconds / 2),
        "first_step_seconds": first.seconds,
        "peak_bytes": peak_bytes("self"),
        "parameters": contender.parameters,
        "versions": dict(contender.versions),
    }
    print(json.dumps(line), flush=True)


def training_rate(contender: Contender, task: Task) -> float:
    """Samples/s, the median over epochs. One epoch warms up, and the first of the timed call is left out, for it makes
    the optimizer's state."""
    (warm,) = contender.train(1)
    epoch_seconds = task.steps * task.batch / warm
    epochs = max(1, round(task.seconds / epoch_seconds))
    return median(contender.train(1 + epochs)[1:])


def inference_seconds(
    infer: Callable[[], object], seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of one batch: the median of calls that fill `seconds`, after two that warm up."""
    infer()
    infer()
    calls: list[float] = []
    begin = clock()
    while len(calls) < LEAST_CALLS or clock() - begin < seconds:
        start = clock()
        infer()
        calls.append(clock() - start)
    return median(calls)


def arrays(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels of an epoch: (N, H, W, C) float32 or (N, T) int32, and (N,) int64. The same for everybody."""
    random = np.random.default_rng(0)
    count = task.batch * task.steps
    if task.model == "lstm":
        words = random.integers(0, WORDS, (count, LENGTH), dtype=np.int32)
        return words, random.integers(0, WORDS, count, dtype=np.int64)
    shape = (28, 28, 1) if task.model == "cnn" else (224, 224, 3)
    return random.standard_normal((count, *shape), dtype=np.float32), random.integers(0, 10, count, dtype=np.int64)


def peak_bytes(process: str) -> int:
    """Largest resident size of a process so far; pages that it shares with another count in both.

    Not ru_maxrss where there is a choice: that one outlives exec, so the parent's memory would count, and it knows a
    child only once the child has ended.
    """
    try:
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        if process != "self":
            return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
