"""The classic CNN."""

import torch
from torch import nn

from rooflight.models.cnn import Cnn


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


def test_scores_and_gradients_are_the_textbooks() -> None:
    ours, theirs = Cnn(), textbook()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 10
    for model in (ours, theirs):
        nn.functional.cross_entropy(model(images), labels).backward()
    assert torch.allclose(ours(images), theirs(images), atol=1e-6)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-5, atol=1e-7)  # type: ignore[arg-type]


def test_the_last_two_rows_and_columns_of_the_picture_are_never_read_by_the_textbooks_network_either() -> None:
    theirs = textbook()
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0), requires_grad=True)
    theirs(images).sum().backward()
    assert images.grad is not None
    read = images.grad.abs().sum((0, 1)) > 0
    assert not bool(read[26:].any() or read[:, 26:].any())
    assert bool(read[:26, :26].float().mean() > 0.9)


def test_it_starts_as_keras_does() -> None:
    torch.manual_seed(0)
    model = Cnn()
    bound = (6 / (32 * 9 + 64 * 9)) ** 0.5  # Glorot: √(6 / (fan in + fan out))
    assert bound * 0.99 < float(model.features[3].weight.detach().abs().max()) <= bound
    assert not bool(model.features[3].bias.any())
