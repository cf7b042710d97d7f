"""A checkpoint's folder: its names, its manifest, and what makes it whole."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.codec import from_plain
from rooflight.core.errors import ConfigError, DataError

FORMAT = 1  # of what a folder holds; a reader refuses a higher one
MODEL, TRAINING, DOCUMENT = "model.safetensors", "training.safetensors", "checkpoint.json"
FILES = (MODEL, TRAINING, DOCUMENT)
MANIFEST = "manifest.json"
LATEST = "latest"
PARTIAL = ".partial"
_NAME = re.compile(r"step-(\d{8,18})")
_MOST_BYTES = 2**20  # of a manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """manifest.json."""

    format: int
    files: Mapping[str, Entry]


def checkpoints(run: Path) -> Path:
    """Where a run's checkpoints are."""
    return run / "checkpoints"


def folder_name(step: int) -> str:
    """123 → "step-00000123"."""
    return f"step-{step:08d}"


def step_of(folder: Path) -> int | None:
    """…/step-00000123 → 123; None for what has no checkpoint's name."""
    found = _NAME.fullmatch(folder.name)
    return int(found[1]) if found else None


def list_folders(run: Path) -> list[Path]:
    """A run's checkpoints, whole or not, the newest first."""
    place = checkpoints(run)
    steps = {path: step_of(path) for path in place.iterdir()} if place.is_dir() else {}
    found = [(step, path) for path, step in steps.items() if step is not None]
    return [path for _, path in sorted(found, reverse=True)]


def read_latest(run: Path) -> Path | None:
    """The folder that `latest` names; None if it names none."""
    file = checkpoints(run) / LATEST
    if not _is_file(file):
        return None
    folder = checkpoints(run) / file.read_bytes()[:64].decode(errors="replace").strip()
    return folder if step_of(folder) is not None else None


def read_manifest(folder: Path) -> Manifest:
    """What a folder should hold, its files' sizes compared: no big file is read.

    raises  DataError that says what is wrong with the folder
    """
    if folder.is_symlink() or not folder.is_dir():
        raise DataError("it is no folder of the run's own")
    path = folder / MANIFEST
    if not _is_file(path):
        raise DataError(f"{MANIFEST} is missing: it was not finished")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too long")
        plain = json.loads(path.read_bytes())
        version = plain.get("format") if isinstance(plain, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise DataError(f"it has format {version}, and this Rooflight reads up to {FORMAT}: update Rooflight")
        manifest = from_plain(Manifest, plain, what=MANIFEST)
    except (ValueError, RecursionError, ConfigError) as error:
        raise DataError(f"{MANIFEST} is damaged: {str(error).rstrip('.')}") from None
    if set(manifest.files) != set(FILES):  # a name that lies elsewhere is none of these
        raise DataError(f"{MANIFEST} is damaged: it lists {', '.join(sorted(manifest.files)) or 'nothing'}")
    for name, entry in manifest.files.items():
        file = folder / name
        if not _is_file(file):
            raise DataError(f"{name} is missing, or a link")
        if (found := file.stat().st_size) != entry.bytes:
            raise DataError(f"{name} has {found:,} bytes of {entry.bytes:,}")
    return manifest


def read_whole(folder: Path, manifest: Manifest, name: str) -> bytes:
    """A file's content, as it was written. Raises DataError if a bit of it differs."""
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
        raise DataError(f"{name} is damaged: its checksum is not the manifest's")
    return content


def is_finished(folder: Path) -> bool:
    """Are manifest and files there, by their sizes?"""
    try:
        read_manifest(folder)
    except DataError:
        return False
    return True


def _is_file(path: Path) -> bool:
    """A link is none: it may lead out of the folder."""
    return path.is_file() and not path.is_symlink()
