"""A small network that has what exporters trip over: batch norm, pooling, flattening."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rooflight.core.runs import Artifact, Preprocessing
from rooflight.deploy.export import Format, export

CLASSES = ("ankle boot", "bag", "바지", "coat")


def small_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, len(CLASSES)),
    )


@pytest.fixture
def net() -> nn.Sequential:
    return small_net()


Ship = Callable[..., Artifact]
PREPROCESSING = Preprocessing(channels=1, height=8, width=8, mean=(0.286,), std=(0.353,))


@pytest.fixture
def ship() -> Ship:
    """`export` with what stays the same from test to test filled in."""
    return _ship


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """The small net in both formats, exported once; for tests that only read."""
    folder = tmp_path_factory.mktemp("shipped")
    return {
        "onnx": _ship(small_net(), "onnx", folder / "o"),
        "torch-export": _ship(small_net(), "torch-export", folder / "t"),
    }


def _ship(model: nn.Module, format: Format, folder: Path, samples: torch.Tensor | None = None) -> Artifact:
    return export(model, format=format, folder=folder, classes=CLASSES, preprocessing=PREPROCESSING, samples=samples)
