"""Kept features as mini-batches, and the change from them to the samples themselves."""

import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.data.features import FeatureBatches, Phases, feature_pairs, keep_features
from rooflight.data.loader.order import shuffled

CPU = torch.device("cpu")


def batches(views: int = 1, count: int = 10, batch: int = 4) -> FeatureBatches:
    """Feature 100·view + sample of every sample; its label is its number."""
    made = [(100.0 * view + torch.arange(count))[:, None] for view in range(views)]
    return FeatureBatches(made, torch.arange(count), batch=batch, seed=3, device=CPU)


def test_each_epoch_has_every_sample_once_in_the_loaders_order() -> None:
    of = batches()
    labels = torch.cat([labels for _, labels in of.epoch(2)])
    assert labels.tolist() == shuffled(10, seed=3, epoch=2).tolist()
    assert [len(labels) for _, labels in of.epoch(2)] == [4, 4, 2]
    assert all(torch.equal(inputs["features"][:, 0], labels.float()) for inputs, labels in of.epoch(2))


def test_an_epoch_goes_on_where_it_was_left() -> None:
    whole = [labels.tolist() for _, labels in batches().epoch(1)]
    assert [labels.tolist() for _, labels in batches().epoch(1, start=4)] == whole[1:]


def test_every_epoch_mixes_the_views_and_a_sample_shows_all_of_them_in_turn() -> None:
    of = batches(views=3)
    seen: dict[int, list[int]] = {}
    for epoch in (1, 2, 3):
        shown = set()
        for inputs, labels in of.epoch(epoch):
            for value, label in zip(inputs["features"][:, 0].tolist(), labels.tolist(), strict=True):
                view = round(value - label) // 100
                shown.add(view)
                seen.setdefault(label, []).append(view)
        assert shown == {0, 1, 2}
    assert all(sorted(views) == [0, 1, 2] for views in seen.values())


def test_features_in_memory_and_on_disk_are_the_same(tmp_path: Path) -> None:
    rows = [torch.randn(3, 2, 2), torch.randn(1, 2, 2)]
    in_memory, on_disk = keep_features(rows, 4), keep_features(rows, 4, folder=tmp_path)
    assert torch.equal(in_memory, torch.cat(rows))
    assert torch.equal(on_disk, in_memory)
    assert not list(tmp_path.iterdir())  # the file has no name


def test_samples_that_were_left_out_leave_no_row() -> None:
    assert keep_features([torch.ones(2, 5)], 4).shape == (2, 5)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *of: object) -> None: ...

        def write(self, content: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(DataError, match=r"16\.0 KiB of features cannot be written \(No space left on device\)"):
        keep_features([torch.zeros(2, 1024)], 4, folder=tmp_path)


def test_pairs_of_an_evaluation_are_in_order() -> None:
    features, labels = torch.randn(300, 2), torch.arange(300)
    found = list(feature_pairs(features, labels, CPU))
    assert torch.equal(torch.cat([inputs["features"] for inputs, _ in found]), features)
    assert torch.equal(torch.cat([of for _, of in found]), labels)


class Samples:
    """The samples of `batches` themselves."""

    samples = 10

    def __len__(self) -> int:
        return 3

    def order(self, epoch: int) -> Any:
        return np.arange(10)

    def epoch(self, epoch: int, *, start: int = 0) -> list[tuple[Tensor, Tensor]]:
        return [(torch.zeros(1, 3, 2, 2), torch.tensor([epoch]))]


def test_samples_follow_the_features_and_the_change_is_told_once() -> None:
    told: list[str] = []
    phases = Phases(Samples(), head_epochs=2, on_tuning=lambda: told.append("now"))
    phases.features = batches()
    assert all(isinstance(inputs, dict) for epoch in (1, 2) for inputs, _ in phases.epoch(epoch))
    assert not phases.tuning
    assert not told
    assert [labels.tolist() for epoch in (3, 4) for _, labels in phases.epoch(epoch)] == [[3], [4]]
    assert phases.tuning
    assert told == ["now"]
