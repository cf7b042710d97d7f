"""Checkpoints: weights as safetensors, everything else as JSON beside them. Nothing in either can run code.

A checkpoint is whole or not there: the weights are written under a name of their own, flushed and renamed; then the
document that names them and their checksum is replaced; only then are older weights removed.
"""

from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from rooflight.core.codec import read_json, to_json
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.files import sha256, write_file
from rooflight.core.runs import Checkpoint, OwnModel, Preprocessing, TextInput
from rooflight.core.training import TrainConfig

DOCUMENT = "checkpoints/last.json"


def save_checkpoint(
    weights: Mapping[str, Tensor],
    run: Path,
    *,
    config: TrainConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing | None,
    text: TextInput | None,
    own: OwnModel | None,
    epoch: int,
    parameters: int,
) -> Checkpoint:
    """Write a model's state dict into RUN/checkpoints and make it the last one."""
    folder = (run / DOCUMENT).parent
    folder.mkdir(exist_ok=True)
    # Plain layout: channels last is a choice of the device at hand, not of the weights.
    state = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    file = folder / f"epoch-{epoch:04d}.safetensors"
    write_file(file, safetensors.torch.save(state))
    checkpoint = Checkpoint(
        weights=file.name,
        weights_sha256=sha256(file),
        config=config,
        classes=classes,
        preprocessing=preprocessing,
        text=text,
        own=own,
        epoch=epoch,
        parameters=parameters,
    )
    write_file(run / DOCUMENT, to_json(checkpoint))
    for older in folder.glob("*.safetensors"):
        if older != file:
            older.unlink()
    return checkpoint


def read_checkpoint(run: Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The last checkpoint of a run and its weights, on the CPU.

    raises  ConfigError if `run` is no run folder; DataError if the weights are damaged
    """
    if not run.is_dir():
        raise ConfigError(f"{run}: no such run folder. Try rooflight train cnn --out {run}.")
    document = run / DOCUMENT
    if not document.is_file():
        raise ConfigError(f"{run} holds no finished checkpoint ({DOCUMENT} is missing). Try another run folder.")
    checkpoint = read_json(Checkpoint, document)
    weights = document.parent / checkpoint.weights
    # The name comes from a file that others may have written: it must stay in its folder.
    if weights.parent != document.parent or not weights.is_file() or sha256(weights) != checkpoint.weights_sha256:
        raise DataError(
            f"{weights} is missing or damaged: its checksum is not the one in {document}. Try training again."
        )
    try:
        return checkpoint, safetensors.torch.load(weights.read_bytes())
    except safetensors.SafetensorError as error:
        raise DataError(f"{weights} is no safetensors file: {error}. Try training again.") from None


def load_weights(model: nn.Module, state: dict[str, Tensor], *, source: Path) -> None:
    """Put the state into the model; raises DataError if they are not of the same architecture."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the weights of {source} do not fit the model that it names: {reason}") from None
