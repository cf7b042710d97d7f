"""The rows of a file of published measurements. A cell that cannot be read is an empty one."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from rooflight.core.errors import ConfigError

COLUMNS = (
    "source_repo", "source_path", "gpu", "n_gpus", "framework", "framework_version", "model", "task", "precision",
    "memory_format", "compile", "batch_size", "input_shape", "seq_len", "metric", "value", "notes",
)  # fmt: skip
NEEDED = ("gpu", "model", "metric", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement as it was published. An empty field is None or ""; batch is per GPU."""

    source: str
    path: str
    gpu: str
    gpus: int
    framework: str
    version: str | None
    model: str
    task: str
    precision: str | None
    memory_format: str | None
    compiled: bool
    batch: float | None
    input_shape: str | None
    seq_len: int | None
    metric: str
    value: float | None  # None: not a number above zero, so nothing to compare with
    notes: str


def read_rows(path: Path) -> list[Row]:
    """Every row of the file, whatever the order of its columns; columns beyond those of a measurement may be missing.

    raises  ConfigError if the file cannot be read, or lacks what no measurement is without
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    f"{path} has no column {', '.join(missing)}. Try a file with the columns {', '.join(COLUMNS)}."
                )
            return [_row({name: (fields.get(name) or "").strip() for name in COLUMNS}) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Try a comma-separated file in UTF-8.") from error


def _row(fields: Mapping[str, str]) -> Row:
    gpus, length = _positive(fields["n_gpus"]), _positive(fields["seq_len"])
    return Row(
        source=fields["source_repo"],
        path=fields["source_path"],
        gpu=fields["gpu"],
        gpus=max(1, round(gpus)) if gpus else 1,
        framework=fields["framework"],
        version=fields["framework_version"] or None,
        model=fields["model"],
        task=fields["task"].lower(),
        precision=fields["precision"] or None,
        memory_format=fields["memory_format"] or None,
        compiled=fields["compile"].lower() in ("1", "1.0", "true", "yes"),
        batch=_positive(fields["batch_size"]),
        input_shape=fields["input_shape"] or None,
        seq_len=max(1, round(length)) if length else None,
        metric=fields["metric"],
        value=_positive(fields["value"]),
        notes=fields["notes"],
    )


def _positive(text: str) -> float | None:
    """The finite number above zero that a cell holds, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number > 0 else None
