"""Image classification data: one call that finds it, reads it, checks it, and says what it is."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.errors import ConfigError, DataError, nearest
from rooflight.core.runs import DataInfo, Preprocessing
from rooflight.data.decode import fit_images
from rooflight.data.folder import read_folder
from rooflight.data.preprocess import with_pipeline
from rooflight.data.read import Arrays, read_idx_folder, read_npz, read_parquet
from rooflight.data.sources import NAMED, Found, bundled_path, expand, find_named


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """A labelled set in memory. Images are uint8 (N, C, H, W), labels int64 (N,)."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    info: DataInfo


def load_images(
    data: str,
    *,
    channels: int,
    height: int | None,
    width: int | None,
    data_dir: str | None = None,
    notify: Callable[[str], None] = lambda line: None,
    max_bad: float = 0.05,
) -> ImageSet:
    """The set that `data` names or points to, fitted to (channels, height, width). None: it keeps its own size.

    data      "bundled", "fashion-mnist", "mnist", a folder of class folders, or an .npz file
    data_dir  where a named set is looked for first
    notify    told in a line when something takes long or is left out
    max_bad   share of a folder's files that may be broken; they are left out and named in `info.bad`
    raises    ConfigError if there is no such data; DataError if it cannot be used
    """
    arrays = _read(data, data_dir, notify, (channels, height, width), max_bad)
    height, width = height or arrays.train_images.shape[2], width or arrays.train_images.shape[3]
    train = fit_images(arrays.train_images, channels, height, width)
    test = fit_images(arrays.test_images, channels, height, width)
    _check_labels(arrays)
    info = DataInfo(
        name=data if data in (*NAMED, "bundled") else Path(data).name,
        source=arrays.source,
        train_count=len(train),
        test_count=len(test),
        classes=arrays.classes,
        sha256=_sha256(train, arrays.train_labels, test, arrays.test_labels),
        licence=arrays.licence,
        bad=arrays.bad,
    )
    return ImageSet(
        train_images=train,
        train_labels=arrays.train_labels,
        test_images=test,
        test_labels=arrays.test_labels,
        info=info,
    )


def measure_preprocessing(images: Tensor) -> Preprocessing:
    """The normalisation that gives these uint8 images (N, C, H, W) zero mean and unit variance in each channel."""
    _, channels, height, width = images.shape
    # A histogram is exact and needs no float copy of the set.
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in range(channels):
        share = torch.bincount(images[:, channel].flatten().long(), minlength=256).double()
        share /= share.sum()
        mean = float((share * levels).sum())
        std = float((share * (levels - mean) ** 2).sum().sqrt())
        means.append(round(mean, 6))
        stds.append(round(max(std, 1 / 255), 6))  # a constant channel is shifted, not blown up
    plain = Preprocessing(channels=channels, height=height, width=width, mean=tuple(means), std=tuple(stds))
    return with_pipeline(plain)


def _read(
    data: str,
    data_dir: str | None,
    notify: Callable[[str], None],
    fit: tuple[int, int | None, int | None],
    max_bad: float,
) -> Arrays:
    if data == "bundled":
        return read_npz(bundled_path("fashion-mnist-12k.npz"), NAMED["fashion-mnist"], "bundled with Rooflight")
    if data in NAMED:
        return _read_found(find_named(data, data_dir, notify))
    path = expand(data)
    if not data or not path.exists():
        hint = nearest(data, ["bundled", *NAMED]) if path.name == data else ""
        raise ConfigError(f"--data {data}: no such file or folder, and no data set of that name.{hint}")
    if path.is_dir():
        channels, height, width = fit
        if height is None or width is None:
            raise ConfigError(f"--data {data}: the images of a folder have several sizes, and need one to be held.")
        return read_folder(path, (channels, height, width), notify, max_bad=max_bad)
    if path.suffix == ".npz":
        return read_npz(path, None, str(path))
    raise ConfigError(f"--data {data} is a file of unknown kind. Try a folder of class folders, or an .npz file.")


def _read_found(found: Found) -> Arrays:
    match found.kind:
        case "npz":
            return read_npz(found.path, found.named, str(found.path))
        case "parquet":
            return read_parquet(found.path, found.named)
        case _:
            return read_idx_folder(found.path, found.named)


def _check_labels(arrays: Arrays) -> None:
    """Labels are 0 to K−1; each class has a training image."""
    count = len(arrays.classes)
    if count < 2:
        raise DataError(f"{arrays.source} has {count} class; a classifier needs at least 2.")
    for split, labels in (("train", arrays.train_labels), ("test", arrays.test_labels)):
        outside = labels[(labels < 0) | (labels >= count)]
        if len(outside):
            raise DataError(
                f"{arrays.source}: {len(outside)} {split} labels are out of range, the first is {int(outside[0])}; "
                f"the {count} classes are 0 to {count - 1}. Try renumbering the labels."
            )
    present = torch.bincount(arrays.train_labels, minlength=count)
    if not bool(present.all()):
        empty = arrays.classes[int((present == 0).nonzero()[0])]
        raise DataError(f"{arrays.source}: the class {empty!r} has no training image. Try removing it, or adding some.")


def _sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
