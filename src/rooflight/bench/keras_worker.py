"""Keras 3 on the framework that KERAS_BACKEND names: `fit` on arrays, as its tutorials write it. Run with python -m."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rooflight.bench.contender import LEARNING_RATE, LENGTH, WORDS, FirstStep, ModelName, Task, arrays, compete


class KerasContender:
    """A compiled Keras model and its arrays."""

    def __init__(self, task: Task, first: FirstStep) -> None:
        backend = os.environ["KERAS_BACKEND"]
        framework = _backend(backend, task)
        import keras

        if task.dtype == "bfloat16":
            keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self.batch, self.steps = task.batch, task.steps
        self.x, self.y = arrays(task)
        self.model = network(keras, task.model)
        compile_model(keras, self.model)
        self.clock = step_clock(keras, first.done)
        self.parameters = int(self.model.count_params())
        self.versions = {"keras": keras.__version__, backend: framework.__version__}

    def train(self, epochs: int) -> list[float]:
        """Rates of the steps from the end of each epoch's first to the end of its last."""
        self.clock.epochs.clear()
        self.model.fit(
            self.x,
            self.y,
            batch_size=self.batch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[self.clock],
        )
        return [(self.steps - 1) * self.batch / steps for _, steps in self.clock.epochs]

    def infer(self) -> np.ndarray:
        """predict_on_batch, which returns an array, and so has waited."""
        scores: np.ndarray = self.model.predict_on_batch(self.x[: self.batch])
        return scores


def network(keras: Any, model: ModelName) -> Any:
    """The model as Keras's tutorials write it; scores, no softmax: the loss takes them as they are."""
    layers = keras.layers
    if model == "lstm":
        return keras.Sequential(
            [keras.Input((LENGTH,), dtype="int32"), layers.Embedding(WORDS, 128), layers.LSTM(128), layers.Dense(WORDS)]
        )
    if model == "vgg16":
        base = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
        base.trainable = False
        head = [layers.Flatten(), layers.Dense(256, activation="relu"), layers.Dense(10)]
        return keras.Sequential([keras.Input((224, 224, 3)), base, *head])
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def compile_model(keras: Any, model: Any) -> None:
    """Adam and cross entropy; jit_compile stays as Keras chooses it."""
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def step_clock(keras: Any, after_step: Callable[[], None]) -> Any:
    """A callback whose `epochs` lists (seconds of the whole epoch, seconds of its steps after the first).

    On TensorFlow an epoch may idle for seconds before its first step: compute is timed without that. `async_safe` says
    that the hook may be called from Keras's pool of threads, as Keras does without a hook, once the step's logs are
    numbers; otherwise the training loop itself would wait for the logs of every step.
    """

    class StepClock(keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        async_safe = True

        def __init__(self) -> None:
            super().__init__()
            self.epochs: list[tuple[float, float]] = []

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.begin = time.perf_counter()
            self.ends: list[float] = []

        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            self.ends.append(time.perf_counter())
            after_step()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            # Keras has waited for the hooks, and the logs are numbers by now, so the last step is done. The hooks may
            # have come out of order.
            self.epochs.append((time.perf_counter() - self.begin, max(self.ends) - min(self.ends)))

    return StepClock()


def _backend(name: str, task: Task) -> Any:
    """The framework under Keras, with its threads set; ends the process if it does not see the device."""
    framework = __import__(name)
    if name == "tensorflow":
        framework.config.threading.set_intra_op_parallelism_threads(task.threads)
        seen = bool(framework.config.list_physical_devices("GPU"))
    elif name == "jax":
        seen = framework.default_backend() != "cpu"
    else:
        framework.set_num_threads(task.threads)
        seen = framework.cuda.is_available()
    if task.device == "cuda" and not seen:
        sys.exit(f"{name} {framework.__version__} sees no GPU")
    return framework


if __name__ == "__main__":
    compete(KerasContender)
