"""Transfer learning in Keras 3, `model.fit` on NumPy arrays. Variants: keras-tensorflow, keras-jax, keras-torch."""

import os

from transfer_task import IMAGES, arrays, enlarged, task, whole_run

backend = task.variant.removeprefix("keras-")
os.environ.update(KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras  # noqa: E402  the backend is read when it is imported

from rooflight.bench.keras_worker import compile_model, network, step_clock  # noqa: E402


def main() -> None:
    """Build, fit the epochs, evaluate."""
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    x_train, y_train, x_test, y_test = arrays()
    images = enlarged(x_train)
    record = task.record(IMAGES)
    model = network(keras, "vgg16")
    compile_model(keras, model)
    model.fit(images[: task.batch], y_train[: task.batch], batch_size=task.batch, verbose=0)  # compiles
    clock = step_clock(keras, record.first_step_done)
    model.fit(images, y_train, batch_size=task.batch, epochs=task.epochs, verbose=0, callbacks=[clock])
    # The steps' seconds count from the end of an epoch's first: the others stand for it.
    steps = IMAGES // task.batch
    whole_run(record, sum(seconds for _, seconds in clock.epochs) * steps / (steps - 1))
    _, accuracy = model.evaluate(enlarged(x_test), y_test, batch_size=task.batch, verbose=0)
    versions = {"keras": keras.__version__, backend: __import__(backend).__version__}
    record.finish(parameters=model.count_params(), accuracy=float(accuracy), versions=versions)


main()
