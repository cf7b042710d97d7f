"""Keras 3, `model.fit` on NumPy arrays as the tutorial writes it.

Variants: keras-tensorflow, keras-jax, keras-torch, each also with -bfloat16 behind it (Keras's mixed precision).
"""

import os
import time

from task import CLASSES, LEARNING_RATE, Record, read_task

task = read_task()
_, backend, *precision = task.variant.split("-")
os.environ.update(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras  # noqa: E402  the backend is read when it is imported
from keras import layers  # noqa: E402


class Epochs(keras.callbacks.Callback):
    """Seconds of each epoch. No hook for batches: it would make Keras fetch the logs of every step."""

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start the clock."""
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Stop it. The logs are numbers by now, so the last step is done."""
        self.record.seconds.append(time.perf_counter() - self.begin)


def main() -> None:
    """Build, fit one batch, fit the epochs, evaluate."""
    if precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    x_train, y_train, x_test, y_test = task.arrays()
    x_train, x_test = (x[..., None].astype("float32") / 255 for x in (x_train, x_test))
    record = task.record(len(x_train))
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x_train[: task.batch], y_train[: task.batch], batch_size=task.batch, epochs=1, verbose=0)
    record.first_step_done()
    model.fit(x_train, y_train, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=[Epochs(record)])
    _, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    versions = {"keras": keras.__version__, backend: __import__(backend).__version__}
    record.finish(parameters=model.count_params(), accuracy=float(accuracy), versions=versions)


main()
