"""Small real sets on disk."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rooflight.data.sources import IDX_FILES


@pytest.fixture
def small_npz(tmp_path: Path) -> Callable[..., Path]:
    """Write an .npz of 6 train and 2 test images of 2 classes; keywords replace arrays, None drops one."""

    def write(**changed: object) -> Path:
        generator = np.random.default_rng(0)
        arrays: dict[str, object] = {
            "x_train": generator.integers(0, 256, (6, 28, 28), dtype=np.uint8),
            "y_train": np.array([0, 1, 0, 1, 0, 1]),
            "x_test": generator.integers(0, 256, (2, 28, 28), dtype=np.uint8),
            "y_test": np.array([1, 0]),
        }
        arrays.update(changed)
        path = tmp_path / "set.npz"
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Two class folders: 5 PNG files of 40×30 RGB and 5 grey JPEG files of 28×28."""
    generator = np.random.default_rng(0)
    root = tmp_path / "pictures"
    for name, shape, suffix in (("cat", (30, 40, 3), "png"), ("개", (28, 28), "jpg")):
        (root / name).mkdir(parents=True)
        for number in range(5):
            pixels = generator.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.{suffix}")
    return root


def write_idx(folder: Path, train: np.ndarray, test: np.ndarray, *, pack: bool) -> None:
    """The four files of an MNIST-like set, labels counting 0, 1, …, 9, 0, …"""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = [train, np.arange(len(train)) % 10, test, np.arange(len(test)) % 10]
    for name, array in zip(IDX_FILES, arrays, strict=True):
        sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
        content = b"\x00\x00\x08" + bytes([array.ndim]) + sizes + array.astype(np.uint8).tobytes()
        if pack:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
