"""The rows of a file of published measurements, read strictly."""

import csv
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.errors import ConfigError

COLUMNS = (
    "source_repo", "source_path", "gpu", "n_gpus", "framework", "framework_version", "model", "task", "precision",
    "memory_format", "compile", "batch_size", "input_shape", "seq_len", "metric", "value", "notes",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement as it was published. An empty field is None; batch is per GPU."""

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
    value: float
    notes: str


def read_rows(path: Path) -> list[Row]:
    """Every row of the file.

    raises  ConfigError if the file has other columns, or a row has no number where one belongs
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ConfigError(f"{path} has no column {', '.join(missing)}. Try a file with the columns of the README.")
        return [_row(fields, path, number) for number, fields in enumerate(reader, start=2)]


def _row(fields: dict[str, str], path: Path, line: int) -> Row:
    try:
        return Row(
            source=fields["source_repo"],
            path=fields["source_path"],
            gpu=fields["gpu"].strip(),
            gpus=int(fields["n_gpus"] or 1),
            framework=fields["framework"],
            version=fields["framework_version"] or None,
            model=fields["model"],
            task=fields["task"],
            precision=fields["precision"] or None,
            memory_format=fields["memory_format"] or None,
            compiled=fields["compile"] == "1",
            batch=float(fields["batch_size"]) if fields["batch_size"] else None,
            input_shape=fields["input_shape"] or None,
            seq_len=int(float(fields["seq_len"])) if fields["seq_len"] else None,
            metric=fields["metric"],
            value=float(fields["value"]),
            notes=fields["notes"],
        )
    except ValueError as error:
        raise ConfigError(f"{path}, line {line}: {error}. Every row needs numbers in n_gpus and value.") from error
