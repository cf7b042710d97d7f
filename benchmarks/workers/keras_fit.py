"""Keras 3, `model.fit` on NumPy arrays as the tutorial writes it.

Variants: keras-tensorflow, keras-jax, keras-torch, each also with -bfloat16 behind it (Keras's mixed precision).
"""

import os

from task import read_task

task = read_task()
_, backend, *precision = task.variant.split("-")
os.environ.update(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras  # noqa: E402  the backend is read when it is imported

from rooflight.bench.keras_worker import compile_model, network, step_clock  # noqa: E402


def main() -> None:
    """Build, fit the epochs, evaluate."""
    if precision:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    x_train, y_train, x_test, y_test = task.arrays()
    if x_train.dtype == "uint8":  # images; token ids stay as they are
        x_train, x_test = (x[..., None].astype("float32") / 255 for x in (x_train, x_test))
    record = task.record(len(x_train))
    model = network(keras, task.model)
    compile_model(keras, model)
    clock = step_clock(keras, record.first_step_done)
    model.fit(x_train, y_train, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=[clock])
    samples = record.samples - min(task.batch, record.samples)  # the steps' seconds count from the end of the first one
    for seconds, step_seconds in clock.epochs:
        record.epoch_done(seconds, steps=(samples, step_seconds) if samples else None)
    _, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    versions = {"keras": keras.__version__, backend: __import__(backend).__version__}
    record.finish(parameters=model.count_params(), accuracy=float(accuracy), versions=versions)


main()
