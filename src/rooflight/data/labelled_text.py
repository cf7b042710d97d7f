"""Labelled texts: a table with a column of texts and one of labels, or a folder of class folders of .txt files."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import DataInfo
from rooflight.data.loader.order import shuffled
from rooflight.data.sources import expand

TABLES = {".csv": ",", ".tsv": "\t"}
TEXT_COLUMNS = ("text", "sentence", "review", "message")
LABEL_COLUMNS = ("label", "class", "sentiment", "category")
TEST_SHARE = 0.2  # of each class
CSV_FIELD_BYTES = 2**24  # a text may be long; the csv module stops at 128 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """A labelled set in memory; labels are int64 (N,)."""

    train: list[str]
    train_labels: Tensor
    test: list[str]
    test_labels: Tensor
    info: DataInfo


def load_texts(data: str) -> TextSet:
    """The texts that `data` points to, a fifth of each class held out by a fixed order.

    data    a .csv or .tsv file whose first line names a column text and a column label, or a folder of class folders
    raises  ConfigError if there is no such data; DataError if it cannot be used
    """
    path = expand(data)
    if path.is_dir():
        rows = _read_folder(path)
    elif path.suffix.lower() in TABLES and path.is_file():
        rows = _read_table(path)
    else:
        raise ConfigError(
            f"--data {data}: texts come from a .csv or .tsv file with the columns text and label, or from a folder of "
            "class folders of .txt files."
        )
    classes = tuple(sorted({label for _, label in rows}))
    if len(classes) < 2:
        raise DataError(f"{path} has {len(classes)} class; a classifier needs at least 2.")
    train, test = _split([classes.index(label) for _, label in rows])
    if not test:
        raise DataError(f"{path}: {len(rows)} texts are too few to hold a fifth of each class out.")
    digest = hashlib.sha256("\0".join(f"{label}\0{text}" for text, label in rows).encode())
    info = DataInfo(
        name=path.name,
        samples="texts",
        source=f"{path} (a fifth of each class held out)",
        train_count=len(train),
        test_count=len(test),
        classes=classes,
        sha256=digest.hexdigest(),
    )

    def chosen(numbers: list[int]) -> tuple[list[str], Tensor]:
        return [rows[n][0] for n in numbers], torch.tensor([classes.index(rows[n][1]) for n in numbers])

    (train_texts, train_labels), (test_texts, test_labels) = chosen(train), chosen(test)
    return TextSet(train=train_texts, train_labels=train_labels, test=test_texts, test_labels=test_labels, info=info)


def _split(labels: list[int]) -> tuple[list[int], list[int]]:
    """Numbers of the samples to train on and to test on, in order."""
    test: set[int] = set()
    for label in set(labels):
        own = [number for number, of in enumerate(labels) if of == label]
        order = shuffled(len(own), seed=0, epoch=0)
        test |= {own[place] for place in order[: round(TEST_SHARE * len(own))]}
    return [n for n in range(len(labels)) if n not in test], sorted(test)


def _read_table(path: Path) -> list[tuple[str, str]]:
    csv.field_size_limit(CSV_FIELD_BYTES)
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        table = csv.DictReader(file, delimiter=TABLES[path.suffix.lower()])
        names = [name.strip().lower() for name in table.fieldnames or ()]
        text = next((column for column in TEXT_COLUMNS if column in names), None)
        label = next((column for column in LABEL_COLUMNS if column in names), None)
        if text is None or label is None:
            raise DataError(f"{path}: its first line names {', '.join(names) or 'nothing'}; it needs text and label.")
        places = names.index(text), names.index(label)
        rows = [[*row.values()] for row in table]
    found = [(row[places[0]], row[places[1]]) for row in rows]
    return [(text.strip(), label.strip()) for text, label in found if text and text.strip() and label]


def _read_folder(path: Path) -> list[tuple[str, str]]:
    files = sorted(file for file in path.glob("*/*.txt") if file.is_file())
    if not files:
        raise ConfigError(f"{path} holds no class folders with .txt files in them.")
    return [(file.read_text(encoding="utf-8", errors="replace"), file.parent.name) for file in files]
