"""One checkpoint to the disk, in the order that leaves a whole one behind whenever the process or the machine ends."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from rooflight.core.codec import to_json
from rooflight.core.errors import DataError
from rooflight.core.files import write_file
from rooflight.core.runs import Checkpoint
from rooflight.train.checkpoint.folder import (
    DOCUMENT,
    FORMAT,
    LATEST,
    MANIFEST,
    MODEL,
    PARTIAL,
    TRAINING,
    Entry,
    Manifest,
    checkpoints,
    folder_name,
    is_finished,
    list_folders,
    step_of,
)
from rooflight.train.checkpoint.tensors import same_as, to_host, write_tensors

PIECE = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment, in host memory: later steps do not change it."""

    document: Checkpoint
    weights: Mapping[str, Tensor]  # what prediction and export use
    training: Mapping[str, Tensor]  # all of the run's tensors


def take_snapshot(document: Checkpoint, *, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Snapshot:
    """Copy the tensors to the host. What `tensors` and `weights` share is copied once."""
    own = {("weights", name): value for name, value in weights.items()}
    own |= {("training", name): value for name, value in tensors.items()}
    host = to_host({"/".join(key): value for key, value in own.items()})
    return Snapshot(
        document=document,
        weights={name: host[f"weights/{name}"] for name in weights},
        training={name: host[f"training/{name}"] for name in tensors},
    )


def write_checkpoint(snapshot: Snapshot, run: Path, *, keep: int) -> Path:
    """Write, flush, rename, read back, point `latest` at it; then remove those that are no longer kept.

    A process that ends at any moment leaves the checkpoint before, or this one, whole.

    keep     how many whole ones stay
    returns  its folder
    raises   OSError or DataError; what was written of it is removed, and `latest` stays as it was
    """
    place, name = checkpoints(run), folder_name(snapshot.document.step)
    place.mkdir(exist_ok=True)
    partial, folder = place / f".{name}{PARTIAL}", place / name
    _remove(partial)
    try:
        partial.mkdir()
        manifest = _fill(partial, snapshot)
        if folder.exists():  # a damaged one, or one of before a resume from an earlier step
            _remove(_set_aside(folder))
        partial.rename(folder)
        _flush(place)
    except BaseException:
        _remove(partial)
        raise
    for file, entry in manifest.files.items():
        if _sha256_on_disk(folder / file) != entry.sha256:
            raise DataError(f"{folder / file} reads back other than it was written: the disk is failing.")
    write_file(place / LATEST, folder.name + "\n")
    _prune(run, folder, keep)
    return folder


def remove_partial(run: Path) -> None:
    """What saves that were cut off have left. Only for the process that holds the run."""
    place = checkpoints(run)
    for path in place.glob(f".*{PARTIAL}") if place.is_dir() else ():
        _remove(path)


def _fill(folder: Path, snapshot: Snapshot) -> Manifest:
    same = same_as(snapshot.training, snapshot.weights)
    rest = {name: value for name, value in snapshot.training.items() if name not in same}
    model, training = folder / MODEL, folder / TRAINING
    entries = {MODEL: write_tensors(snapshot.weights, model), TRAINING: write_tensors(rest, training)}
    document = replace(snapshot.document, weights=MODEL, weights_sha256=entries[MODEL].sha256, same=same)
    content = to_json(document).encode()
    (folder / DOCUMENT).write_bytes(content)
    entries[DOCUMENT] = Entry(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    for name in entries:
        _flush(folder / name)
    manifest = Manifest(format=FORMAT, files=entries)
    (folder / MANIFEST).write_text(to_json(manifest))
    _flush(folder / MANIFEST)
    _flush(folder)
    return manifest


def _prune(run: Path, newest: Path, keep: int) -> None:
    """Remove older checkpoints than the `keep` newest finished ones. Newer steps are not this run's past: they stay."""
    older = [path for path in list_folders(run) if (step_of(path) or 0) < (step_of(newest) or 0)]
    finished = [path for path in older if is_finished(path)]
    for path in set(older) - set(finished[: keep - 1]):
        _remove(_set_aside(path))


def _set_aside(folder: Path) -> Path:
    """Out of readers' sight in one go: none sees it half removed."""
    aside = folder.with_name(f".{folder.name}.old{PARTIAL}")
    _remove(aside)
    folder.rename(aside)
    return aside


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _sha256_on_disk(path: Path) -> str:
    """Of what the disk holds: the system's own copy in memory is let go of first, where it can be asked to."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
