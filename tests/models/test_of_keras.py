"""Models that Keras saved: the same outputs in PyTorch's hands, planned and traced like any other."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rooflight.core.errors import BackendError, ConfigError
from rooflight.core.types import Workload
from rooflight.models.resolve import resolve
from rooflight.trace.tracer import trace

# Keras 3.15 has an __array__ of its own that NumPy 2 calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    found = pytest.importorskip("keras")
    if found.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend here")
    return found


@pytest.fixture(scope="module")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network, with dropout."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 6, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(5, activation="softmax"),
        ]
    )
    file: Path = tmp_path_factory.mktemp("keras") / "small.keras"
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        model.save(file)
    return file


def test_the_outputs_are_keras_own(keras: Any, saved: Path) -> None:
    batch = torch.rand(3, 8, 6, 3)
    model = resolve(str(saved)).build().eval()
    with torch.inference_mode():
        found = model(batch).numpy()
    assert np.allclose(found, keras.saving.load_model(saved).predict(batch.numpy(), verbose=0), atol=1e-5)


def test_train_and_eval_reach_its_layers(saved: Path) -> None:
    model, batch = resolve(str(saved)).build(), torch.rand(4, 8, 6, 3)
    model.eval()
    assert torch.equal(model(batch), model(batch))
    model.train()
    assert not torch.equal(model(batch), model(batch))


def test_it_is_traced_with_keras_shape(saved: Path) -> None:
    recipe = resolve(str(saved))
    assert recipe.input_shape == (8, 6, 3)
    step = trace(
        recipe.build,
        Workload(model="m", task="train", batch=2, input_shape=recipe.input_shape, dtype="float32", optimizer="sgd"),
        make_input=recipe.make_input,
        loss=recipe.loss,
        make_target=recipe.make_target,
    )
    seed = 2  # Keras keeps the state of dropout's generator among a model's variables
    assert step.parameters == (3 * 3 * 3 * 4 + 4) + (6 * 4 * 4 * 5 + 5) + seed
    products = sum(op.flops for op in step.ops if op.kind == "convolution" and op.phase == "forward")
    assert products == 2 * (2 * 6 * 4) * (3 * 3 * 3) * 4  # samples × pixels × depth × channels, a multiply-add is two


def test_words_are_token_ids_and_an_open_length_is_filled_in(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((None,)), layers.Embedding(50, 8), layers.LSTM(4), layers.Dense(50)])
    file = tmp_path / "words.keras"
    model.save(file)
    with pytest.raises(ConfigError, match="--seq-len"):
        resolve(str(file))
    recipe = resolve(str(file), (7,))
    batch = recipe.make_input(Workload(model="m", task="infer", batch=2, input_shape=(7,), dtype="float32"))
    assert (batch.dtype, tuple(batch.shape)) == (torch.int64, (2, 7))
    assert recipe.build().eval()(batch).shape == (2, 50)


def test_another_size_than_it_was_saved_for_is_refused(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"saved for samples of \(8, 6, 3\)"):
        resolve(str(saved), (3, 9, 9))


def test_a_file_that_is_none_of_keras(keras: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.keras"
    file.write_bytes(b"not a zip")
    with pytest.raises(ConfigError, match="Keras does not read"):
        resolve(str(file))


def test_no_such_file() -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        resolve("nowhere.keras")


def test_without_keras_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "any.keras"
    file.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(BackendError, match=r"rooflight\[keras\]"):
        resolve(str(file))


def test_another_backend_is_refused_in_a_sentence(keras: Any, saved: Path) -> None:
    pytest.importorskip("jax")
    code = f"from rooflight.models.resolve import resolve; resolve({str(saved)!r})"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Keras runs on jax here" in run.stderr
