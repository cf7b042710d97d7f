"""`rooflight predict` of a transfer run on texts: the class of each .txt file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.errors import ConfigError
from rooflight.core.runs import Checkpoint
from rooflight.core.tables import Report
from rooflight.flows.predict import Predictions, name_prediction, prediction_table

if TYPE_CHECKING:
    import torch
    from torch import nn


def predict_texts(
    run: Path,
    model: nn.Module,
    checkpoint: Checkpoint,
    inputs: Sequence[Path],
    *,
    top: int,
    batch: int,
    device: torch.device,
) -> Report:
    """Class and probability of each text.

    inputs  .txt files, or folders of them
    raises  ConfigError for a path that is not there; without the tokenizer that the base was pretrained with
    """
    import torch

    from rooflight.models.transfer.base import find_base
    from rooflight.models.transfer.texts import tokenise, tokenizer_of

    tokenizer = tokenizer_of(find_base(checkpoint.model).name.partition(":")[2])
    files = find_text_files(inputs)
    found = []
    with torch.inference_mode():
        for start in range(0, len(files), batch):
            some = files[start : start + batch]
            tokens = tokenise(tokenizer, [file.read_text(encoding="utf-8", errors="replace") for file in some])
            scores = model({name: tensor.to(device) for name, tensor in tokens.items()})
            rows = zip(some, scores, strict=True)
            found += [name_prediction(str(file), row, checkpoint, top) for file, row in rows]
    answer = Predictions(run=str(run), predictions=tuple(found))
    return Report(answer=answer, tables=(prediction_table(answer.predictions),))


def find_text_files(inputs: Sequence[Path]) -> list[Path]:
    """Files as given; folders as the .txt files below them, in order of name."""
    files: list[Path] = []
    for path in inputs:
        inside = sorted(path.rglob("*.txt")) if path.is_dir() else [path] if path.is_file() else []
        if not inside:
            raise ConfigError(f"{path}: no such file, or a folder without .txt files.")
        files += inside
    if not files:
        raise ConfigError("no text was given. Try rooflight predict RUN text.txt.")
    return files
