"""Broken files: counted, named, skipped, replaced; too many stop the run."""

from pathlib import Path

import pytest
import torch

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.sources import ImageFiles


def break_two(files: ImageFiles) -> None:
    """One file of nothing, and one that ends too early."""
    files.paths[11].write_bytes(b"")
    files.paths[42].write_bytes(files.paths[42].read_bytes()[:-200])


@pytest.mark.parametrize("workers", [0, 4])
def test_broken_files_are_named_and_skipped_every_epoch(files: ImageFiles, workers: int) -> None:
    break_two(files)
    loader = Loader(files, batch=8, seed=0, workers=workers)
    for epoch in (1, 2):
        labels = torch.cat([labels for _, labels in loader.epoch(epoch)]).tolist()
        assert len(labels) == 70
        assert set(labels) == set(range(70)) - {11, 42}
        assert [bad.sample for bad in loader.bad] == [11, 42]
    assert [Path(bad.name).name for bad in loader.bad] == ["11.jpg", "42.png"]
    assert "cannot be decoded" in loader.bad[0].reason


def test_a_file_is_read_once_when_it_is_broken(files: ImageFiles) -> None:
    break_two(files)
    loader = Loader(files, batch=8, seed=0)
    list(loader.epoch(1))
    good = files.paths[10].read_bytes()
    files.paths[11].write_bytes(good)  # mended meanwhile: the run goes on as it began
    assert 11 not in torch.cat([labels for _, labels in loader.epoch(2)])


def test_what_replaces_depends_on_seed_and_epoch_alone(files: ImageFiles) -> None:
    break_two(files)
    one = torch.cat([labels for _, labels in Loader(files, batch=8, seed=0, workers=3).epoch(2)])
    knows = Loader(files, batch=3, seed=0)
    list(knows.epoch(1))
    assert torch.equal(torch.cat([labels for _, labels in knows.epoch(2)]), one)


def test_a_missing_file_is_a_broken_one(files: ImageFiles) -> None:
    files.paths[5].unlink()
    loader = Loader(files, batch=70, seed=0)
    list(loader.epoch(1))
    assert [bad.sample for bad in loader.bad] == [5]
    assert "No such file" in loader.bad[0].reason


@pytest.mark.parametrize("workers", [0, 2])
def test_too_many_stop_with_a_sentence(files: ImageFiles, workers: int) -> None:
    for number in range(4, 9):
        files.paths[number].write_bytes(b"")
    with pytest.raises(
        DataError, match=r"[45] of 70 samples are broken, above the share of 5\.0% .* and [12] more\. Try"
    ):
        list(Loader(files, batch=8, seed=0, workers=workers).epoch(1))
    labels = torch.cat([labels for _, labels in Loader(files, batch=8, seed=0, max_bad=0.1).epoch(1)])
    assert not set(range(4, 9)) & set(labels.tolist())


def test_a_share_of_all_is_refused(files: ImageFiles) -> None:
    with pytest.raises(ConfigError, match="--max-bad 1"):
        Loader(files, batch=8, seed=0, max_bad=1.0)
