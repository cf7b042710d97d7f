"""A trained model back from its run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import read_json
from rooflight.core.errors import ConfigError
from rooflight.core.runs import Checkpoint, TrainResult

if TYPE_CHECKING:
    import torch
    from torch import nn


def load_run(run: Path, device: torch.device) -> tuple[nn.Module, Checkpoint]:
    """The model with its last weights, ready to infer, and the document beside them."""
    import torch

    from rooflight.flows.family import Reads, build_model
    from rooflight.flows.train_own import kept_config
    from rooflight.train.checkpoint.read import load_weights, read_checkpoint
    from rooflight.train.layout import prepare

    checkpoint, state = read_checkpoint(run)
    reads = Reads(
        classes=checkpoint.classes,
        preprocessing=checkpoint.preprocessing,
        text=checkpoint.text,
        own=checkpoint.own,
    )
    model = build_model(kept_config(checkpoint, run), reads, fresh=False)
    load_weights(model, state, source=run)
    model, _ = prepare(model.eval(), device, torch.float32)
    return model, checkpoint


def read_result(run: Path) -> TrainResult:
    """result.json of a finished run; raises ConfigError if the folder is no run, or the run did not finish."""
    if not run.is_dir():
        raise ConfigError(f"{run}: no such run folder. Try rooflight train cnn --out {run}.")
    document = run / "result.json"
    if not document.is_file():
        raise ConfigError(f"{run} holds no finished run (result.json is missing). Try another run folder.")
    return read_json(TrainResult, document)
