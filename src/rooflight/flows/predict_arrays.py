"""`rooflight predict` for a model that takes arrays: rows of .npy and .npz files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import Checkpoint, Prediction, Value
from rooflight.core.tables import Report, Table
from rooflight.flows.predict import name_prediction, prediction_table

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MOST_ROWS = 20  # of a table for people; --json has all


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPredictions:
    """What `predict --json` prints of a model that takes arrays."""

    run: str
    predictions: tuple[Prediction, ...] = ()  # with classes
    values: tuple[Value, ...] = ()  # without


def predict_arrays(
    run: Path,
    model: nn.Module,
    checkpoint: Checkpoint,
    inputs: Sequence[Path],
    *,
    top: int,
    batch: int,
    device: torch.device,
    console: Console,
) -> Report:
    """Class and probability of each row, or the values that the model gives for it.

    inputs  .npy files (N, …), or .npz files with x_test or x
    raises  ConfigError for a file that is not there; DataError for rows that the model does not take
    """
    import torch

    predictions: list[Prediction] = []
    values: list[Value] = []
    for path in inputs:
        rows = _rows(path, checkpoint)
        with torch.inference_mode(), console.bar("predict", len(rows), "rows") as advance:
            for start in range(0, len(rows), batch):
                outputs = model(rows[start : start + batch].to(device)).float()
                for number, row in enumerate(outputs, start):
                    name = f"{path}[{number}]"
                    if checkpoint.classes:
                        predictions.append(name_prediction(name, row, checkpoint, top))
                    else:
                        values.append(_value(name, row))
                advance(len(outputs))
    answer = ArrayPredictions(run=str(run), predictions=tuple(predictions), values=tuple(values))
    count = len(predictions) + len(values)
    notes = (f"the first {MOST_ROWS} of {count:,} rows; --json has all",) if count > MOST_ROWS else ()
    return Report(answer=answer, tables=(_table(answer),), notes=notes)


def _rows(path: Path, checkpoint: Checkpoint) -> Tensor:
    from rooflight.data.arrays import as_samples, read_rows

    own = checkpoint.own
    assert own is not None
    if not path.is_file():
        raise ConfigError(f"{path}: no such file. {checkpoint.model} takes arrays: a .npy file of (N, …).")
    rows = as_samples(read_rows(path), own.input_dtype)
    if tuple(rows.shape) == own.input_shape:
        rows = rows[None]
    if tuple(rows.shape[1:]) != own.input_shape:
        raise DataError(f"{path} has samples of shape {tuple(rows.shape[1:])}, the model takes {own.input_shape}.")
    return rows


def _value(name: str, row: Tensor) -> Value:
    if not bool(row.isfinite().all()):
        raise DataError(f"the model gives no finite values for {name}: its weights are damaged. Try training again.")
    return Value(input=name, values=tuple(row.flatten().tolist()))


def _table(answer: ArrayPredictions) -> Table:
    if answer.predictions:
        return prediction_table(answer.predictions[:MOST_ROWS])
    rows = tuple((row.input, ", ".join(f"{value:.6g}" for value in row.values)) for row in answer.values[:MOST_ROWS])
    return Table(columns=("input", "values"), rows=rows)
