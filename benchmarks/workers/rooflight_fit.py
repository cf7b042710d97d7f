"""Rooflight, as its command trains.

Variants: rooflight (float32, no augmentation: equal work), rooflight-augmented (float32), rooflight-auto (no
augmentation; the dtype that the command picks: bfloat16 on a CPU that multiplies it in hardware).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from task import CLASSES, read_task
from torch import Tensor, nn

import rooflight
from rooflight.bench.contender import LEARNING_RATE
from rooflight.core.runs import EpochRecord
from rooflight.core.training import TrainConfig
from rooflight.data.batches import Batches, normalise
from rooflight.data.images import load_images, measure_preprocessing
from rooflight.data.text.windows import Stream, Windows
from rooflight.hardware.detect import detect
from rooflight.hardware.process import keep_freed_memory
from rooflight.models.cnn import Cnn
from rooflight.models.lstm import WORDS, Lstm
from rooflight.train.device import pick_dtype
from rooflight.train.fit import Hooks, fit
from rooflight.train.layout import prepare
from rooflight.train.loop import EpochBatches

task = read_task()


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Work:
    """What is trained, and on what."""

    model: nn.Module
    batches: EpochBatches
    test: Iterable[tuple[Tensor, Tensor]]
    classes: int


def main() -> None:
    """Train the epochs, evaluate."""
    keep_freed_memory()
    torch.set_num_threads(task.threads)
    work = text() if task.model == "lstm" else images()
    record = task.record(work.batches.samples)
    config = TrainConfig(epochs=task.epochs, batch=task.batch, lr=LEARNING_RATE, schedule="constant")
    asked = "auto" if task.variant == "rooflight-auto" else "float32"
    dtype, _ = pick_dtype(asked, CPU, detect().cpu.isa)

    def epoch_done(epoch: EpochRecord) -> None:
        record.epoch_done(record.samples / epoch.samples_per_second)

    model, how = prepare(work.model, CPU, dtype)
    begun = time.time()
    done = fit(
        model, work.batches, work.test, config, dtype=dtype, classes=work.classes, hooks=Hooks(on_epoch=epoch_done)
    )
    record.first_step_seconds = begun - record.started + done.first_step_seconds
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=done.evaluation.accuracy,
        versions={"rooflight": rooflight.__version__, "torch": torch.__version__, "dtype": str(dtype), "how": how},
    )


def images() -> Work:
    """The CNN and its images, augmented or not."""
    found = load_images(task.data, channels=1, height=28, width=28)
    augmented = task.variant == "rooflight-augmented"
    shape = measure_preprocessing(found.train_images)
    batches = Batches(
        found.train_images,
        found.train_labels,
        shape,
        batch=task.batch,
        shift=1 if augmented else 0,
        flip=augmented,
        augmented_epochs=task.epochs if augmented else 0,
        seed=0,
        device=CPU,
    )
    test = list(zip(normalise(found.test_images, shape).split(500), found.test_labels.split(500), strict=True))
    return Work(model=Cnn(), batches=batches, test=test, classes=CLASSES)


def text() -> Work:
    """The LSTM and its windows, end to end as a stream of their own."""
    x_train, y_train, x_test, y_test = task.arrays()

    def windows(x: np.ndarray, y: np.ndarray, *, shuffle: bool) -> Windows:
        rows = np.concatenate((x, y[:, None]), axis=1).astype(np.int32)
        starts = np.arange(len(rows), dtype=np.int64) * rows.shape[1]
        stream = Stream(tokens=rows.ravel(), starts=starts, length=x.shape[1])
        return Windows(stream, batch=task.batch if shuffle else 500, seed=0, device=CPU, shuffle=shuffle)

    return Work(
        model=Lstm(),
        batches=windows(x_train, y_train, shuffle=True),
        test=windows(x_test, y_test, shuffle=False),
        classes=WORDS,
    )


main()
