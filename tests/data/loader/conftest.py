"""A folder of small real files, and a transform whose result shows what was drawn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rooflight.data.loader.batch import Images
from rooflight.data.loader.sources import ImageFiles


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    """70 JPEG and PNG files of different sizes, labels counting 0 to 69."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(70):
        pixels = generator.integers(0, 256, (20 + number % 5, 24 + number % 3, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number:02}.{'jpg' if number % 2 else 'png'}")
        Image.fromarray(pixels).save(paths[-1])
    return ImageFiles(paths, torch.arange(70), 3)


class Corner:
    """The upper left 16×16 corner plus a number drawn from (sample, epoch, seed)."""

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Tensor:
        return torch.from_numpy(ids * 1000 + epoch * 10 + seed)

    def apply(self, images: Images, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
        corners = torch.stack([image[:, :16, :16] for image in images])
        return corners.double() + draws[:, None, None, None] * 256
