"""Labelled texts from tables and folders, and their token batches."""

from pathlib import Path

import pytest
import torch

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.labelled_text import load_texts
from rooflight.data.tokens import TokenBatches


def test_a_table_is_read_and_a_fifth_of_each_class_held_out(tmp_path: Path) -> None:
    rows = [f'"good, number {n}",yes\n' for n in range(10)] + [f"bad {n},no\n" for n in range(5)]
    file = tmp_path / "reviews.csv"
    file.write_text("Text,Label\n" + "".join(rows))
    found = load_texts(str(file))
    assert found.info.classes == ("no", "yes")
    assert (len(found.train), len(found.test)) == (12, 3)
    assert sorted(found.test_labels.tolist()) == [0, 1, 1]
    assert all(
        text.startswith("good, number" if label else "bad")
        for text, label in zip(found.train, found.train_labels, strict=True)
    )
    assert not set(found.train) & set(found.test)
    assert load_texts(str(file)).test == found.test


def test_a_folder_of_classes_is_read(tmp_path: Path) -> None:
    for name in ("ham", "spam"):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.txt").write_text(f"{name} {number}")
    found = load_texts(str(tmp_path))
    assert found.info.classes == ("ham", "spam")
    assert [found.info.train_count, found.info.test_count] == [8, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n1,2\n", "it needs text and label"), ("text,label\nhello,one\n", "has 1 class")],
)
def test_a_table_that_cannot_be_used_is_told(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message):
        load_texts(str(file))


def test_no_such_data_is_told() -> None:
    with pytest.raises(ConfigError, match="columns text and label"):
        load_texts("nowhere.csv")


def test_a_batch_is_as_long_as_its_longest_text() -> None:
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    inputs = {"input_ids": mask * torch.arange(1, 4)[:, None], "attention_mask": mask}
    of = TokenBatches(inputs, torch.arange(3), batch=2, seed=0, device=torch.device("cpu"))
    assert [tuple(rows["input_ids"].shape) for rows, _ in of.in_order(2)] == [(2, 4), (1, 1)]
    whole = [labels.tolist() for _, labels in of.epoch(1)]
    assert [number for batch in whole for number in batch] == of.order(1).tolist()
    assert [labels.tolist() for _, labels in of.epoch(1, start=2)] == whole[1:]
    assert all(int(rows["input_ids"][0, 0]) == int(labels[0]) + 1 for rows, labels in of.epoch(1))
