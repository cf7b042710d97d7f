"""A folder of class folders of image files, with its own split into train and test or without."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.decode import SUFFIXES, decode_image, fit_images, is_image
from rooflight.data.loader.bad import BadSamples
from rooflight.data.read import Arrays

TEST_FOLDERS = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2  # of each class folder, where the folder brings no split of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFiles:
    """The image files of a folder, each with its label, split and ready to be decoded."""

    classes: tuple[str, ...]
    train: list[tuple[int, Path]]
    test: list[tuple[int, Path]]
    source: str


def list_folder(folder: Path, notify: Callable[[str], None]) -> FolderFiles:
    """Class folders of image files, in train/ and test/ (or val/), or directly in the folder, which is then split.

    raises  ConfigError, DataError for a folder that is no set of classes
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder.")
    test_root = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and test_root is not None:
        classes, train = _class_files(folder / "train", notify)
        test_classes, test = _class_files(test_root, notify)
        if unknown := sorted(set(test_classes) - set(classes)):
            raise DataError(f"{test_root} has the class {unknown[0]!r}, which {folder / 'train'} lacks.")
        numbers = {name: number for number, name in enumerate(classes)}
        test = [(numbers[test_classes[label]], path) for label, path in test]
        return FolderFiles(classes=classes, train=train, test=test, source=str(folder))
    classes, files = _class_files(folder, notify)
    train, test = _split(files, folder)
    source = f"{folder} (a fifth of each class held out, chosen by file name)"
    return FolderFiles(classes=classes, train=train, test=test, source=source)


def read_folder(
    folder: Path, fit: tuple[int, int, int], notify: Callable[[str], None], *, max_bad: float = 0.05
) -> Arrays:
    """The images of `list_folder`, decoded. Broken files are left out and named in the result.

    fit      (channels, height, width) that each image is brought to as it is read, so that the set stays small
    max_bad  share of the files that may be broken
    raises   DataError if more are
    """
    files = list_folder(folder, notify)
    bad = BadSamples(len(files.train) + len(files.test), max_bad)
    train_images, train_labels = _decode_all(files.train, fit, bad, first=0)
    test_images, test_labels = _decode_all(files.test, fit, bad, first=len(files.train))
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=files.classes,
        source=files.source,
        licence=None,
        bad=bad.list(),
    )


def _class_files(root: Path, notify: Callable[[str], None]) -> tuple[tuple[str, ...], list[tuple[int, Path]]]:
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(folders) < 2:
        raise ConfigError(
            f"{root} has {len(folders)} class folders; a classifier needs at least 2. "
            "Try a folder that holds one folder of images for each class."
        )
    for folder in folders:
        if not folder.name.isprintable():
            raise ConfigError(f"the class folder {folder} has a name that cannot be shown. Try renaming it.")
    files, skipped = [], 0
    for label, folder in enumerate(folders):
        inside = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        images = [path for path in inside if is_image(path)]
        skipped += len(inside) - len(images)
        if not images:
            raise DataError(f"the class folder {folder} has no image ({', '.join(SUFFIXES)}).")
        files += [(label, path) for path in images]
    if skipped:
        notify(f"{root}: {skipped} files are not images ({', '.join(SUFFIXES)}) and are left out")
    return tuple(folder.name for folder in folders), files


def _split(files: list[tuple[int, Path]], root: Path) -> tuple[list[tuple[int, Path]], list[tuple[int, Path]]]:
    """Hold out a share of each class, by a hash of each file's path below `root`: the same files split the same way."""
    train, test = [], []
    for label in sorted({label for label, _ in files}):
        mine = [path for each, path in files if each == label]
        if len(mine) < 2:
            raise DataError(
                f"the class folder {mine[0].parent} has 1 image; at least 2 are needed, to train on and to test with."
            )
        mine.sort(key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(root).as_posix())).digest())
        held_out = max(1, round(len(mine) * TEST_SHARE))
        test += [(label, path) for path in mine[:held_out]]
        train += [(label, path) for path in mine[held_out:]]
    return train, test


def _decode_all(
    files: list[tuple[int, Path]], fit: tuple[int, int, int], bad: BadSamples, *, first: int
) -> tuple[Tensor, Tensor]:
    """Images and labels of the files that can be decoded; `first` is the number of the first one in the whole set."""
    channels, height, width = fit

    def decode(item: tuple[int, tuple[int, Path]]) -> Tensor | None:
        number, (_, path) = item
        try:
            return fit_images(decode_image(path, channels)[None], channels, height, width)
        except DataError as error:
            bad.add(number, str(path), error)
            return None

    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter
        images = list(pool.map(decode, enumerate(files, start=first)))
    pairs = [(image, label) for image, (label, _) in zip(images, files, strict=True) if image is not None]
    if not pairs:
        raise DataError(f"none of the {len(files)} files beside {files[0][1]} can be decoded.")
    return torch.cat([image for image, _ in pairs]), torch.tensor([label for _, label in pairs], dtype=torch.int64)
