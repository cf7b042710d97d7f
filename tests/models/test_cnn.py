"""The classic CNN."""

import pytest
import torch
from torch import nn

from rooflight.core.errors import ConfigError
from rooflight.models.cnn import Cnn
from rooflight.models.registry import MODELS, find_model


def textbook() -> nn.Sequential:
    """Layer by layer as the tutorial lists it: ReLU right after each convolution, before the pool."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def test_parameters_by_hand() -> None:
    convolutions = (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 64
    dense = (576 + 1) * 64 + (64 + 1) * 10
    assert sum(parameter.numel() for parameter in Cnn().parameters()) == convolutions + dense == 93_322


def test_outputs_and_gradients_are_the_textbooks_to_the_bit() -> None:
    ours, theirs = Cnn(), textbook()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    for model in (ours, theirs):
        nn.functional.cross_entropy(model(images), labels).backward()
    assert torch.equal(ours(images), theirs(images))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)  # type: ignore[arg-type]


def test_it_starts_as_keras_does() -> None:
    torch.manual_seed(0)
    model = Cnn()
    bound = (6 / (32 * 9 + 64 * 9)) ** 0.5  # Glorot: √(6 / (fan in + fan out))
    assert bound * 0.99 < float(model.features[3].weight.detach().abs().max()) <= bound
    assert not bool(model.features[3].bias.any())


def test_registry() -> None:
    for entry in MODELS.values():
        scores = entry.build(7)(torch.zeros(2, *entry.input_shape))
        assert scores.shape == (2, 7)
    with pytest.raises(ConfigError, match=r"no model 'cn'. Did you mean 'cnn'"):
        find_model("cn")
