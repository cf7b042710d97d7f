"""Rooflight, as its command trains.

Variants: rooflight (float32, no augmentation: equal work), rooflight-augmented (float32), rooflight-auto (no
augmentation; the dtype that the command picks: bfloat16 on a CPU that multiplies it in hardware).
"""

import time

import torch
from task import CLASSES, read_task

import rooflight
from rooflight.bench.contender import LEARNING_RATE
from rooflight.core.runs import EpochRecord
from rooflight.core.training import TrainConfig
from rooflight.data.batches import Batches, normalise
from rooflight.data.images import load_images, measure_preprocessing
from rooflight.hardware.detect import detect
from rooflight.hardware.process import keep_freed_memory
from rooflight.models.cnn import Cnn
from rooflight.train.device import pick_dtype
from rooflight.train.fit import Hooks, fit
from rooflight.train.layout import prepare

task = read_task()


def main() -> None:
    """Train the epochs, evaluate."""
    keep_freed_memory()
    torch.set_num_threads(task.threads)
    device = torch.device("cpu")
    images = load_images(task.data, channels=1, height=28, width=28)
    record = task.record(len(images.train_images))
    augmented = task.variant == "rooflight-augmented"
    config = TrainConfig(epochs=task.epochs, batch=task.batch, lr=LEARNING_RATE, schedule="constant")
    shape = measure_preprocessing(images.train_images)
    batches = Batches(
        images.train_images,
        images.train_labels,
        shape,
        batch=task.batch,
        shift=1 if augmented else 0,
        flip=augmented,
        augmented_epochs=task.epochs if augmented else 0,
        seed=0,
        device=device,
    )
    test = list(zip(normalise(images.test_images, shape).split(500), images.test_labels.split(500), strict=True))
    asked = "auto" if task.variant == "rooflight-auto" else "float32"
    dtype, _ = pick_dtype(asked, device, detect().cpu.isa)

    def epoch_done(epoch: EpochRecord) -> None:
        record.epoch_done(record.samples / epoch.samples_per_second)

    model, _ = prepare(Cnn(), device, dtype)
    begun = time.time()
    done = fit(model, batches, test, config, dtype=dtype, classes=CLASSES, hooks=Hooks(on_epoch=epoch_done))
    record.first_step_seconds = begun - record.started + done.first_step_seconds
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=done.evaluation.accuracy,
        versions={"rooflight": rooflight.__version__, "torch": torch.__version__, "dtype": str(dtype)},
    )


main()
