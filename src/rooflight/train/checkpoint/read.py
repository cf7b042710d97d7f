"""The newest whole checkpoint of a run: damaged and unfinished ones are skipped, each with a sentence."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from rooflight.core.codec import from_json
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import Checkpoint
from rooflight.train.checkpoint.folder import (
    DOCUMENT,
    FILES,
    MODEL,
    TRAINING,
    list_folders,
    read_latest,
    read_manifest,
    read_whole,
)
from rooflight.train.checkpoint.tensors import read_tensors

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumable:
    """A whole run at one moment."""

    folder: Path
    checkpoint: Checkpoint
    tensors: dict[str, Tensor]  # as train.state.TrainState names them, on the CPU
    skipped: int  # newer ones that are not whole


def read_checkpoint(run: Path, *, notify: Notify = lambda sentence: None) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The document and the weights, on the CPU, of the newest whole checkpoint.

    notify  is told of each one that is skipped
    raises  ConfigError if `run` is no run folder; DataError if no checkpoint is whole
    """
    _, checkpoint, tensors, _ = _newest(run, (MODEL,), notify)
    return checkpoint, tensors[MODEL]


def read_state(run: Path, *, notify: Notify = lambda sentence: None) -> Resumable | None:
    """All that a resume goes on from; None if the run was stopped before its first checkpoint. Raises as above."""
    if not list_folders(run):
        return None
    folder, checkpoint, tensors, skipped = _newest(run, (MODEL, TRAINING), notify)
    return Resumable(folder=folder, checkpoint=checkpoint, tensors=_joined(checkpoint, tensors), skipped=skipped)


def read_folder(folder: Path) -> Resumable:
    """One checkpoint. Raises DataError if it is not whole."""
    checkpoint, tensors = _read(folder, (MODEL, TRAINING))
    return Resumable(folder=folder, checkpoint=checkpoint, tensors=_joined(checkpoint, tensors), skipped=0)


def load_weights(model: nn.Module, state: dict[str, Tensor], *, source: Path) -> None:
    """Put the state into the model; raises DataError if they are not of the same architecture."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the weights of {source} do not fit the model that it names: {reason}") from None


def _joined(checkpoint: Checkpoint, tensors: dict[str, dict[str, Tensor]]) -> dict[str, Tensor]:
    """The run's tensors, of which those that are the weights' too are stored once."""
    return tensors[TRAINING] | {name: tensors[MODEL][of] for name, of in checkpoint.same.items()}


def _newest(
    run: Path, files: tuple[str, ...], notify: Notify
) -> tuple[Path, Checkpoint, dict[str, dict[str, Tensor]], int]:
    if not run.is_dir():
        raise ConfigError(f"{run}: no such run folder. Try rooflight train cnn --out {run}.")
    skipped = 0
    for folder in _candidates(run, notify):
        try:
            return folder, *_read(folder, files), skipped
        except (DataError, OSError) as error:
            reason = str(error) if isinstance(error, DataError) else error.strerror or str(error)
            notify(f"{folder} is skipped: {reason}")
            last, skipped = f"{folder.name}: {reason}", skipped + 1
    if not skipped:
        raise ConfigError(f"{run} holds no finished checkpoint. Try another run folder.")
    raise DataError(f"{run} has no whole checkpoint: {skipped} found, the last of them {last}. Try training again.")


def _candidates(run: Path, notify: Notify) -> Iterator[Path]:
    """The one that `latest` names, then the others, the newest first."""
    latest, folders = read_latest(run), list_folders(run)
    if latest in folders:
        yield latest
    elif folders:
        notify(f"{run}: its file `latest` names no checkpoint that is there; the newest one is taken")
    yield from (folder for folder in folders if folder != latest)


def _read(folder: Path, files: tuple[str, ...]) -> tuple[Checkpoint, dict[str, dict[str, Tensor]]]:
    """Its document and tensors. Raises DataError that says what is wrong with it."""
    manifest = read_manifest(folder)
    content = {name: read_whole(folder, manifest, name) for name in FILES if name == DOCUMENT or name in files}
    try:
        checkpoint = from_json(Checkpoint, content[DOCUMENT].decode(), what=DOCUMENT)
    except (ConfigError, UnicodeDecodeError) as error:
        raise DataError(f"{DOCUMENT} cannot be used: {str(error).rstrip('.')}") from None
    tensors = {name: read_tensors(content[name], name=name) for name in files}
    if not set(checkpoint.same.values()) <= set(tensors[MODEL]):
        raise DataError(f"{DOCUMENT} names tensors that {MODEL} lacks")
    return checkpoint, tensors
