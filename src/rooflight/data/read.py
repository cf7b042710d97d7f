"""Readers of packed sets: .npz, idx, Hugging Face's parquet. Each gives the same Arrays, or one clear error."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rooflight.core.errors import BackendError, DataError
from rooflight.core.runs import BadSample
from rooflight.core.tables import printable
from rooflight.data.decode import decode_image
from rooflight.data.sources import IDX_FILES, Named

NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """A set as read: images uint8 (N, C, H, W), labels int64 (N,)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    source: str
    licence: str | None
    bad: tuple[BadSample, ...] = ()


def read_npz(path: Path, named: Named | None, source: str) -> Arrays:
    """x_train, y_train, x_test, y_test as Keras names them; optionally `classes`, the names."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: np.asarray(archive[key]) for key in archive.files}
    except Exception as error:  # numpy and zipfile raise a dozen kinds for a file that is not what it says
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} is not a readable .npz file ({reason}). Try writing it again with numpy.savez."
        ) from None
    missing = [key for key in NPZ_KEYS if key not in arrays]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(arrays) or 'nothing'}. "
            "Try numpy.savez(path, x_train=…, y_train=…, x_test=…, y_test=…)."
        )
    train_labels, test_labels = (_labels(arrays[key], key, path) for key in ("y_train", "y_test"))
    classes = named.classes if named else _class_names(arrays.get("classes"), train_labels, path)
    return Arrays(
        train_images=_pixels(arrays["x_train"], len(train_labels), "x_train", path),
        train_labels=train_labels,
        test_images=_pixels(arrays["x_test"], len(test_labels), "x_test", path),
        test_labels=test_labels,
        classes=classes,
        source=source,
        licence=named.licence if named else None,
    )


def read_idx_folder(folder: Path, named: Named) -> Arrays:
    """The four idx files of MNIST or Fashion-MNIST, packed or not."""
    train_x, train_y, test_x, test_y = (_read_idx(folder, name) for name in IDX_FILES)
    return Arrays(
        train_images=_pixels(train_x, len(train_y), IDX_FILES[0], folder),
        train_labels=_labels(train_y, IDX_FILES[1], folder),
        test_images=_pixels(test_x, len(test_y), IDX_FILES[2], folder),
        test_labels=_labels(test_y, IDX_FILES[3], folder),
        classes=named.classes,
        source=str(folder),
        licence=named.licence,
    )


def read_parquet(folder: Path, named: Named) -> Arrays:
    """The train and test files of Hugging Face's cache: columns image.bytes (PNG) and label. Needs pyarrow."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise BackendError(
            f"{folder} holds parquet files, and reading them needs pyarrow, which is not installed. "
            "Try: pip install pyarrow"
        ) from None
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    for split in ("train", "test"):
        rows = [
            row for file in sorted(folder.glob(f"{split}-*.parquet")) for row in parquet.read_table(file).to_pylist()
        ]
        images = torch.stack([decode_image(row["image"]["bytes"], 1, name=f"an image of {folder}") for row in rows])
        tensors[split] = images, torch.tensor([row["label"] for row in rows], dtype=torch.int64)
    return Arrays(
        train_images=tensors["train"][0],
        train_labels=tensors["train"][1],
        test_images=tensors["test"][0],
        test_labels=tensors["test"][1],
        classes=named.classes,
        source=str(folder),
        licence=named.licence,
    )


def _pixels(array: Any, count: int, name: str, path: Path) -> Tensor:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) of uint8, as (N, C, H, W)."""
    if array.dtype != np.uint8:
        raise DataError(
            f"{path}: {name} is {array.dtype}; images must be uint8, 0 to 255. "
            "Try (x * 255).round().astype('uint8') if they are 0 to 1."
        )
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"{path}: {name} has the shape {array.shape}; images are (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with C 1 or 3."
        )
    if len(array) != count:
        raise DataError(f"{path}: {name} has {len(array)} images, but {count} labels.")
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # a copy only where it must be one


def _labels(array: Any, name: str, path: Path) -> Tensor:
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or flat.dtype.kind not in "iu" or len(flat) == 0:
        raise DataError(
            f"{path}: {name} is {flat.dtype} of shape {array.shape}; labels are whole numbers, one for each image."
        )
    return torch.from_numpy(flat.astype(np.int64))


def _class_names(names: Any, labels: Tensor, path: Path) -> tuple[str, ...]:
    if names is not None:
        return tuple(printable(str(name)) for name in names.reshape(-1))
    used = labels.unique().tolist()
    if used != list(range(len(used))):
        stray = next(number for place, number in enumerate(used) if number != place)
        raise DataError(
            f"{path}: the label {stray} in y_train is out of range: {len(used)} classes are in use, "
            f"so labels must be 0 to {len(used) - 1}. Try renumbering them, or store the names as `classes`."
        )
    return tuple(str(number) for number in used)


def _read_idx(folder: Path, name: str) -> Any:
    """source  the idx format as http://yann.lecun.com/exdb/mnist described it: magic, sizes, then bytes."""
    path = folder / name if (folder / name).is_file() else folder / f"{name}.gz"
    try:
        content = path.read_bytes()
        raw = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Try fetching it again.") from None
    dimensions = raw[3] if len(raw) > 3 else 0
    shape = tuple(int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(dimensions))
    start = 4 + 4 * dimensions
    if raw[:3] != b"\x00\x00\x08" or not shape or len(raw) - start != int(np.prod(shape)):
        raise DataError(f"{path} is not a whole idx file of bytes. Try fetching it again.")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
