"""A folder of class folders of image files, with its own split into train and test or without."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.decode import SUFFIXES, decode_image, fit_images, is_image
from rooflight.data.read import Arrays

TEST_FOLDERS = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2  # of each class folder, where the folder brings no split of its own


def read_folder(folder: Path, fit: tuple[int, int, int], notify: Callable[[str], None]) -> Arrays:
    """Class folders of image files, in train/ and test/ (or val/), or directly in the folder, which is then split.

    fit  (channels, height, width) that each image is brought to as it is read, so that the set stays small
    """
    test_root = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if (folder / "train").is_dir() and test_root is not None:
        classes, train_files = _class_files(folder / "train", notify)
        test_classes, test_files = _class_files(test_root, notify)
        if unknown := sorted(set(test_classes) - set(classes)):
            raise DataError(f"{test_root} has the class {unknown[0]!r}, which {folder / 'train'} lacks.")
        source = str(folder)
    else:
        classes, files = _class_files(folder, notify)
        train_files, test_files = _split(files, folder)
        source = f"{folder} (a fifth of each class held out, chosen by file name)"
    train_images, train_labels = _decode_all(train_files, classes, fit)
    test_images, test_labels = _decode_all(test_files, classes, fit)
    return Arrays(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=classes,
        source=source,
        licence=None,
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
    files: list[tuple[int, Path]], classes: tuple[str, ...], fit: tuple[int, int, int]
) -> tuple[Tensor, Tensor]:
    channels, height, width = fit

    def decode(item: tuple[int, Path]) -> Tensor:
        return fit_images(decode_image(item[1], channels)[None], channels, height, width)

    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter
        images = list(pool.map(decode, files))
    return torch.cat(images), torch.tensor([label for label, _ in files], dtype=torch.int64)
