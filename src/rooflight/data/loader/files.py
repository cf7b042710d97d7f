"""A folder whose images stay on disk: listed, described, and its normalisation measured from a part of it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.core.runs import DataInfo, Preprocessing
from rooflight.data.folder import list_folder
from rooflight.data.images import measure_preprocessing
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.sources import ImageFiles

MEASURED_IMAGES = 4096  # of which mean and deviation are taken: known to a thousandth of a deviation and better


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSet:
    """A labelled set on disk, its images fitted as they are decoded."""

    train: ImageFiles
    test: ImageFiles
    info: DataInfo

    @property
    def decoded_bytes(self) -> int:
        """What all its images take, decoded and fitted."""
        height, width = self.train.fit or (0, 0)
        return (len(self.train) + len(self.test)) * self.train.channels * height * width


def open_folder(
    folder: Path, *, channels: int, height: int, width: int, notify: Callable[[str], None] = lambda line: None
) -> FolderSet:
    """The image files of class folders, split as `load_images` splits them. No image is read.

    raises  ConfigError, DataError for a folder that is no set of classes
    """
    files = list_folder(folder, notify)
    digest = hashlib.sha256()
    for label, path in (*files.train, *files.test):
        digest.update(
            f"{label} {path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode(errors="surrogateescape")
        )
    train, test = (
        ImageFiles(
            [path for _, path in part],
            torch.tensor([label for label, _ in part], dtype=torch.int64),
            channels,
            (height, width),
        )
        for part in (files.train, files.test)
    )
    info = DataInfo(
        name=folder.name,
        source=files.source,
        train_count=len(train),
        test_count=len(test),
        classes=files.classes,
        sha256=digest.hexdigest(),
    )
    return FolderSet(train=train, test=test, info=info)


def first_images(source: ImageFiles, count: int) -> list[Tensor]:
    """The first images that can be decoded, up to a count, as uint8 (C, H, W). Broken ones are passed over."""
    found: list[Tensor] = []
    for sample in range(len(source)):
        try:
            pixels = source.decode(source.read(sample), sample)
        except (DataError, OSError):
            continue
        found.append(torch.from_numpy(pixels).permute(2, 0, 1))
        if len(found) == count:
            break
    return found


def measure_folder(images: FolderSet, *, workers: int, max_bad: float) -> Preprocessing:
    """`measure_preprocessing` of up to 4,096 training images, the same ones every time."""
    loader = Loader(images.train, batch=256, seed=0, workers=workers, max_bad=max_bad, replace_bad=False)
    chosen, count = [], 0
    for pixels, _ in loader.epoch(0):
        chosen.append(pixels)
        count += len(pixels)
        if count >= MEASURED_IMAGES:
            break
    if not chosen:
        raise DataError(f"{images.info.source}: no training image can be decoded.")
    return measure_preprocessing(torch.cat(chosen))


def with_bad(info: DataInfo, train: Loader, test: Loader) -> DataInfo:
    """The description with the broken files that training and evaluation met, numbered as the set is listed."""
    behind = tuple(replace(bad, sample=bad.sample + info.train_count) for bad in test.bad)
    return replace(info, bad=(*train.bad, *behind))
