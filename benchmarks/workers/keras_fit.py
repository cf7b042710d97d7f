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
    """Seconds of each epoch, and of its steps from the end of the first one to the end of the last one.

    On TensorFlow an epoch may idle for seconds before its first step: compute is timed without that. `async_safe` says
    that the hook may be called from Keras's pool of threads, as Keras does without a hook, once the step's logs are
    numbers; otherwise the training loop itself would wait for the logs of every step.
    """

    async_safe = True

    def __init__(self, record: Record) -> None:
        super().__init__()
        self.record = record

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Start the clock."""
        self.begin = time.perf_counter()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Note the end of a step."""
        self.ends.append(time.perf_counter())
        self.record.first_step_done()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Stop it. Keras has waited for the hooks, and the logs are numbers by now, so the last step is done."""
        seconds = time.perf_counter() - self.begin
        images = self.record.images - min(self.record.batch, self.record.images)
        # The hooks may come out of order.
        self.record.epoch_done(seconds, steps=(images, max(self.ends) - min(self.ends)) if images else None)


def main() -> None:
    """Build, fit the epochs, evaluate."""
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
    model.fit(x_train, y_train, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=[Epochs(record)])
    _, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    versions = {"keras": keras.__version__, backend: __import__(backend).__version__}
    record.finish(parameters=model.count_params(), accuracy=float(accuracy), versions=versions)


main()
