"""What the workers of transfer learning share: few images, and the rate of a whole run."""

import time

import numpy as np
from task import Record, read_task

IMAGES, TESTED = 48, 16
SIZE = 224

task = read_task()


def arrays() -> list[np.ndarray]:
    """x_train and x_test as uint8 (N, 28, 28), with their labels: the first of the set."""
    x_train, y_train, x_test, y_test = task.arrays()
    return [x_train[:IMAGES], y_train[:IMAGES], x_test[:TESTED], y_test[:TESTED]]


def enlarged(images: np.ndarray) -> np.ndarray:
    """float32 (N, 224, 224, 3) in 0..1, each pixel as eight by eight."""
    return np.repeat(np.repeat(images, SIZE // 28, 1), SIZE // 28, 2)[..., None].repeat(3, 3).astype(np.float32) / 255


def whole_run(record: Record, seconds: float) -> None:
    """Every epoch counts as the run's mean: none of them is warm-up, for the first one pays for the others."""
    for _ in range(record.epochs):
        record.epoch_done(seconds / record.epochs)


def started() -> float:
    """Now, on the clock that measures."""
    return time.perf_counter()
