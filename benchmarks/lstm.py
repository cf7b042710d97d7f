"""The LSTM of the classic tutorial, trained by Rooflight and by its peers, interleaved on one machine.

    python -m benchmarks.lstm --peers-python PEERS/bin/python --out benchmarks/results/lstm-DATE.json

Embedding 1000×128, LSTM 128, Dense 1000 on windows of 20 words of the bundled King James Bible. benchmarks/rounds.py
says how they take turns; benchmarks/generation.py is for what comes after training.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rounds import KEPT, Contest, Variant, compete, read_arguments
from rooflight.core.console import Silent
from rooflight.core.training import TrainConfig
from rooflight.data.text.windows import Stream
from rooflight.flows.train_text import find

SAMPLES, TEST_SAMPLES = 12_800, 2_000  # 100 steps of 128 an epoch
VARIANTS = (
    Variant(name="rooflight", worker="rooflight_fit", argument="rooflight", peer=False),
    Variant(name="rooflight, automatic dtype", worker="rooflight_fit", argument="rooflight-auto", peer=False),
    Variant(name="Keras on TensorFlow", worker="keras_fit", argument="keras-tensorflow"),
    Variant(name="Keras on JAX", worker="keras_fit", argument="keras-jax"),
    Variant(name="Keras on PyTorch", worker="keras_fit", argument="keras-torch"),
    Variant(name="PyTorch, DataLoader", worker="torch_loop", argument="loader-0"),
    Variant(name="PyTorch, in memory", worker="torch_loop", argument="memory-0"),
    Variant(name="Lightning", worker="lightning_fit", argument="lightning"),
    Variant(name="Accelerate", worker="accelerate_loop", argument="accelerate"),
    Variant(name="fastai", worker="fastai_fit", argument="fastai"),
    Variant(name="PyTorch, in memory, malloc kept", worker="torch_loop", argument="memory-0", environment=KEPT),
    Variant(name="Keras on JAX, malloc kept", worker="keras_fit", argument="keras-jax", environment=KEPT),
)


def main() -> None:
    """Write the windows to a file that all read, and run the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "windows.npz"
        contest = Contest(
            name="lstm",
            model="lstm",
            task="train the tutorial's LSTM on 20 words of the King James Bible, Adam, float32 unless said",
            samples="sequences",
            variants=VARIANTS,
            data=file,
            batches=(128,),
        )
        arguments = read_arguments(contest, __doc__)
        if arguments.data == file:
            write_windows(file)
        compete(contest, arguments)


def write_windows(file: Path) -> None:
    """x_train, y_train, x_test, y_test: int64 (N, 20) and (N,), drawn from the text's windows."""
    text = find(TrainConfig(model="lstm"), Silent()).data
    train, test = _drawn(text.train, SAMPLES), _drawn(text.test, TEST_SAMPLES)
    np.savez(file, x_train=train[:, :-1], y_train=train[:, -1], x_test=test[:, :-1], y_test=test[:, -1])


def _drawn(stream: Stream, count: int) -> np.ndarray:
    starts = np.random.default_rng(0).permutation(stream.starts)[:count]
    windows: np.ndarray = stream.tokens[starts[:, None] + np.arange(stream.length + 1)].astype(np.int64)
    return windows


if __name__ == "__main__":
    main()
