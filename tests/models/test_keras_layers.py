"""Keras models in PyTorch's layers: the same outputs, and weights that go back."""

import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from rooflight.models import of_keras

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(action="ignore"):
        found = pytest.importorskip("keras")
    if found.backend.backend() != "torch":
        pytest.skip("Keras runs on another backend here")
    return found


def chain(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(5, activation="softmax"),
        ]
    )


def joined(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((8, 8, 3))
    both = layers.Add()([layers.Conv2D(4, 3)(x), layers.Conv2D(4, 3)(x)])
    return keras.Model(x, layers.Dense(5, activation="softmax")(layers.Flatten()(layers.BatchNormalization()(both))))


@pytest.mark.parametrize(("make", "translated"), [(chain, True), (joined, False)], ids=["chain", "joined"])
def test_trained_weights_go_back(keras: Any, make: Any, translated: bool) -> None:
    model = make(keras)
    network, write_back, why = of_keras.network(model, images=True)
    assert isinstance(network, of_keras.Stateless) is not translated, why
    assert of_keras.outputs_differ(model, network, True) < 1e-6
    images, labels = torch.rand(16, *(model.input_shape[i] for i in (3, 1, 2))), torch.arange(16) % 5
    optimizer = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=0.01)
    network.train()
    losses = []
    for _ in range(20):
        outputs = network(images)
        loss = F.cross_entropy(outputs, labels) if translated else F.nll_loss(outputs.log(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert of_keras.outputs_differ(model, network, True) > 1e-3
    write_back()
    assert of_keras.outputs_differ(model, network, True) < 1e-5


def test_an_lstm_is_translated(keras: Any) -> None:
    layers = keras.layers
    model = keras.Sequential([keras.Input((7,)), layers.Embedding(50, 8), layers.LSTM(6), layers.Dense(50, "softmax")])
    network, _, why = of_keras.network(model, images=False)
    assert "PyTorch's own" in why
    ids = torch.randint(50, (4, 7))
    expected = model(ids, training=False)
    assert torch.allclose(network.eval()(ids).softmax(1), expected, atol=1e-6)


def test_frozen_layers_stay(keras: Any) -> None:
    model = chain(keras)
    model.layers[0].trainable = False
    network, _, _ = of_keras.network(model, images=True)
    assert [one.requires_grad for one in network.parameters()][:3] == [False, False, True]


def test_names_stay_from_one_build_to_the_next(keras: Any) -> None:
    names = [list(of_keras.network(joined(keras), images=True)[0].state_dict()) for _ in range(2)]
    assert names[0] == names[1]


def test_a_saved_model_comes_back(keras: Any, tmp_path: Path) -> None:
    model = chain(keras)
    of_keras.save(model, tmp_path / "a" / "model.keras")
    again = of_keras.load(str(tmp_path / "a" / "model.keras"))
    network, _, _ = of_keras.network(model, images=True)
    assert of_keras.outputs_differ(again, network, True) < 1e-6
