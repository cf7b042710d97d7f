"""`rooflight predict`: what a trained model says of image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import Checkpoint, Prediction, Preprocessing
from rooflight.core.tables import Report, Table
from rooflight.core.types import Comparison
from rooflight.core.units import show_percent
from rooflight.flows.checkpoint import load_run
from rooflight.flows.compare import comparison_table
from rooflight.flows.compare_inference import compare_inference
from rooflight.flows.train_transfer import is_transfer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that could not be decoded."""

    input: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What `predict --json` prints."""

    run: str
    predictions: tuple[Prediction, ...]
    comparisons: tuple[Comparison, ...] = ()  # of a batch through the model, where this device is calibrated
    skipped: tuple[Skipped, ...] = ()


def predict(
    run: Path,
    inputs: Sequence[Path],
    *,
    top: int = 3,
    batch: int = 256,
    device: str = "auto",
    console: Console | None = None,
) -> Report:
    """Class and probability of each image, preprocessed as the checkpoint says it was trained.

    inputs  image files, or folders of them; of a run on texts, .txt files
    raises  ConfigError for a run or a path that is not there; DataError if no image can be decoded. Broken ones among
            others are skipped and listed
    """
    import torch

    from rooflight.train.device import pick_device

    console = console or Silent()
    for name, value in (("top", top), ("batch", batch)):
        if value < 1:
            raise ConfigError(f"--{name} {value}: it must be 1 or more.")
    where, _ = pick_device(device)
    model, checkpoint = load_run(run, where)
    if checkpoint.preprocessing is None and is_transfer(checkpoint.model):
        from rooflight.flows.predict_texts import predict_texts

        return predict_texts(run, model, checkpoint, inputs, top=top, batch=batch, device=where)
    preprocessing = checkpoint.pixels
    files = find_images(inputs)
    found: list[Prediction] = []
    skipped: list[Skipped] = []
    with torch.inference_mode(), console.bar("predict", len(files), "images") as advance:
        for start in range(0, len(files), batch):
            some = files[start : start + batch]
            read, broken = read_images(some, preprocessing)
            skipped += broken
            if read:
                pixels = torch.cat([tensor for _, tensor in read]).to(where)
                rows = zip(read, model(pixels), strict=True)
                found += [name_prediction(str(file), row, checkpoint, top) for (file, _), row in rows]
            advance(len(some))
    if not found:
        none = f"none of {len(skipped):,} files can be decoded; the first: " if len(skipped) > 1 else ""
        raise DataError(none + skipped[0].reason)
    comparisons, told = compare_inference(model, checkpoint, pixels, where)
    answer = Predictions(run=str(run), predictions=tuple(found), comparisons=comparisons, skipped=tuple(skipped))
    tables = [prediction_table(answer.predictions), *skipped_tables(answer.skipped)]
    tables += [comparison_table(comparisons)] if comparisons else []
    return Report(answer=answer, tables=tuple(tables), notes=(told,))


def find_images(inputs: Sequence[Path]) -> list[Path]:
    """Files as given; folders as the image files below them, in order of name."""
    from rooflight.data.decode import SUFFIXES, is_image

    files: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if is_image(file))
            if not inside:
                raise ConfigError(f"{path} holds no image ({', '.join(SUFFIXES)}).")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            raise ConfigError(f"{path}: no such file or folder.")
    if not files:
        raise ConfigError("no image was given. Try rooflight predict RUN image.png.")
    return files


def read_images(files: Sequence[Path], preprocessing: Preprocessing) -> tuple[list[tuple[Path, Tensor]], list[Skipped]]:
    """The model's input of each file that can be decoded, and the others."""
    inputs, broken = [], []
    for file in files:
        try:
            inputs.append((file, read_image(file, preprocessing)))
        except DataError as error:
            broken.append(Skipped(input=str(file), reason=str(error)))
    return inputs, broken


def read_image(file: Path, preprocessing: Preprocessing) -> Tensor:
    """The model's input of one file, float32 (1, C, H, W): the pixels that evaluation saw."""
    from rooflight.data.decode import decode_image
    from rooflight.data.preprocess import preprocess

    return preprocess(decode_image(file, preprocessing.channels)[None], preprocessing)


def name_prediction(name: str, scores: Tensor, checkpoint: Checkpoint, top: int) -> Prediction:
    """Class names and probabilities from one row of class scores."""
    probabilities = scores.float().softmax(0)
    if not bool(probabilities.isfinite().all()):
        raise DataError(f"the model gives no finite scores for {name}: its weights are damaged. Try training again.")
    values, places = probabilities.topk(min(top, len(checkpoint.classes)))
    best = tuple(
        (checkpoint.classes[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)
    )
    return Prediction(input=name, label=best[0][0], probability=best[0][1], top=best)


def skipped_tables(skipped: tuple[Skipped, ...]) -> tuple[Table, ...]:
    """A row for each file that was skipped; no table if none was."""
    rows = tuple((row.input, row.reason.removeprefix(f"{row.input} ")) for row in skipped)
    return (Table(title="skipped", columns=("input", "reason"), rows=rows),) if rows else ()


def prediction_table(predictions: tuple[Prediction, ...]) -> Table:
    """A row for each input."""
    rows = tuple(
        (
            row.input,
            row.label,
            show_percent(row.probability),
            ", ".join(f"{label} {show_percent(share)}" for label, share in row.top[1:]),
        )
        for row in predictions
    )
    return Table(columns=("input", "class", "probability", "then"), rows=rows)
