"""Files that are whole or not there: written beside their place, flushed to the disk, then renamed."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rooflight.core.errors import ConfigError


def write_file(path: Path, content: bytes | str) -> None:
    """Replace `path` by the content, atomically. Raises OSError and leaves the old file as it was."""
    data = content.encode() if isinstance(content, str) else content
    fill_file(path, lambda partial: partial.write_bytes(data))


def fill_file(path: Path, fill: Callable[[Path], object]) -> None:
    """Like write_file, for a library that wants a path to write to."""
    path = path.resolve()  # a link is followed, not replaced
    refuse_unwritable(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        fill(partial)
        _flush(partial)
        os.replace(partial, path)
        _flush(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def refuse_unwritable(path: Path) -> None:
    """Raise ConfigError if no file can be written there: asked before long work, and again by what writes."""
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent}: no such folder to write {path.name} to.")
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is no regular file, and is left alone. Try another path.")
    if not os.access(path.resolve().parent, os.W_OK):
        raise ConfigError(f"{path.parent}: nothing may be written there. Try another path.")


@contextmanager
def new_folder(path: Path, *, keep: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """A folder for a result. If the body fails, it is removed again, with the parents made for it, unless `keep()`.

    keep    asked only after a failure: does the folder hold something whole, such as a checkpoint?
    raises  ConfigError if the path exists and is not an empty folder
    """
    refuse_taken(path)
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    if path in made:
        try:
            path.mkdir(parents=True)  # of two that ask at once, one gets it
        except FileExistsError:
            raise ConfigError(f"{path} was just made by another run. Try another --out.") from None
        except OSError:
            _remove(path, made)
            raise
    try:
        yield path
    except BaseException:
        if not keep():
            _remove(path, made)
        raise


def refuse_taken(path: Path) -> None:
    """Raise ConfigError if the path exists and is not an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} exists already and is not an empty folder. Try another --out, or move it away.")


def _remove(path: Path, made: list[Path]) -> None:
    """Empty the folder, then remove it and its parents as far as this run made them."""
    if os.path.isdir(path):  # False, not an error, for a name that is too long
        for child in path.iterdir():
            shutil.rmtree(child, ignore_errors=True) if child.is_dir() else child.unlink(missing_ok=True)
    for folder in made:
        try:
            folder.rmdir()
        except OSError:
            if os.path.exists(folder):
                return  # somebody else's file is in it


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
