"""Exact order, exact resume, and the same pixels however the work is shared."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rooflight.core.errors import ConfigError, ShapeError
from rooflight.data.loader.batch import collate
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.order import LoaderState
from rooflight.data.loader.sources import ArrayImages, ImageFiles, TextWindows
from tests.data.loader.conftest import Corner


def loader(files: ImageFiles, **changed: Any) -> Loader:
    return Loader(files, **({"batch": 10, "seed": 3, "transform": Corner()} | changed))


def samples(batches: Iterator[tuple[Tensor, Tensor]]) -> list[tuple[int, Tensor]]:
    return [(int(label), image) for images, labels in batches for image, label in zip(images, labels, strict=True)]


def same(one: list[tuple[int, Tensor]], other: list[tuple[int, Tensor]]) -> bool:
    return [label for label, _ in one] == [label for label, _ in other] and all(
        torch.equal(mine, yours) for (_, mine), (_, yours) in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_pixels_do_not_depend_on_batch_or_workers(files: ImageFiles, batch: int, workers: int) -> None:
    expected = samples(loader(files).epoch(2))
    assert sorted(label for label, _ in expected) == list(range(70))
    assert same(samples(loader(files, batch=batch, workers=workers).epoch(2)), expected)


def test_epochs_differ_and_a_seed_does(files: ImageFiles) -> None:
    one = samples(loader(files).epoch(1))
    assert not same(one, samples(loader(files).epoch(2)))
    assert not same(one, samples(loader(files, seed=4).epoch(1)))


@pytest.mark.parametrize("workers", [0, 4])
def test_a_stopped_epoch_goes_on_where_it_was(files: ImageFiles, workers: int) -> None:
    whole = samples(loader(files).epoch(1))
    first = loader(files, workers=4)
    taken = []
    for images, labels in first.epoch(1):
        taken += list(zip(labels.tolist(), images, strict=True))
        if len(taken) >= 30:
            break
    assert first.state == LoaderState(seed=3, epoch=1, samples=30)
    second = loader(files, batch=8, workers=workers)
    second.resume(first.state)
    assert same(taken + samples(second.epoch(1)), whole)
    assert same(samples(second.epoch(2)), samples(loader(files).epoch(2)))


def test_an_epoch_may_be_gone_through_again(files: ImageFiles) -> None:
    mine = loader(files)
    once = samples(mine.epoch(1))
    assert len(once) == 70
    assert same(samples(mine.epoch(1)), once)
    mine.resume(LoaderState(seed=3, epoch=1, samples=70))
    assert samples(mine.epoch(1)) == []
    assert same(samples(mine.epoch(1)), once)


def test_a_resume_may_change_the_world_size(files: ImageFiles) -> None:
    order = loader(files).order(1)
    state = LoaderState(seed=3, epoch=1, samples=30)
    ranks = []
    for rank in range(4):
        mine = loader(files, batch=20, rank=rank, world_size=4, drop_last=True)
        mine.resume(state)
        ranks.append([labels.tolist() for _, labels in mine.epoch(1)])
    for step, together in enumerate(zip(*ranks, strict=True)):
        assert sorted(chain(*together)) == sorted(order[30 + step * 20 : 50 + step * 20])


def test_a_state_of_another_set_is_refused(files: ImageFiles) -> None:
    with pytest.raises(ConfigError, match="seen 71 samples"):
        loader(files).resume(LoaderState(seed=3, epoch=1, samples=71))
    with pytest.raises(ConfigError, match="of seed 9, this loader of 3"):
        loader(files).resume(LoaderState(seed=9, epoch=1, samples=10))


@pytest.mark.parametrize("seed", [-1, 2**70, 0.5])
def test_a_seed_that_no_key_holds_is_refused(files: ImageFiles, seed: Any) -> None:
    with pytest.raises(ConfigError, match="is no whole number of 0"):
        loader(files, seed=seed)


def test_leaving_an_epoch_early_ends_its_workers(files: ImageFiles) -> None:
    import threading

    batches = loader(files, workers=3).epoch(1)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rooflight-loader")]


def test_workers_leave_the_main_threads_setting_alone(files: ImageFiles) -> None:
    class Threads(Corner):
        def apply(self, images: Any, draws: Any, *, sizes: Tensor | None = None) -> Tensor:
            return torch.full((len(images),), torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = [image.unique().tolist() for image, _ in loader(files, workers=2, transform=Threads()).epoch(1)]
        assert seen == [[1]] * 7
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_evaluation_keeps_the_order_of_the_files(files: ImageFiles) -> None:
    assert [label for label, _ in samples(loader(files, shuffle=False).epoch(0))] == list(range(70))
    assert len(loader(files, batch=64)) == 2
    assert len(loader(files, batch=64, drop_last=True)) == 1


def test_sizes_that_differ_are_padded_and_told() -> None:
    small, large = np.full((2, 3, 3), 7, np.uint8), np.full((4, 2, 3), 9, np.uint8)
    pixels, sizes = collate([small, large])
    assert pixels.shape == (2, 3, 4, 3)
    assert sizes is not None
    assert sizes.tolist() == [[2, 3], [4, 2]]
    assert pixels[0, :, :2, :].eq(7).all()
    assert pixels[0].sum() == 7 * 18
    assert pixels[1, :, :, :2].eq(9).all()
    assert collate([small, small])[1] is None


def test_clips_of_different_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[\(2,\), \(3,\)\] frames"):
        collate([np.zeros((3, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8)])


def test_arrays_and_text_come_through_the_same_loader() -> None:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3, 1)
    array = ArrayImages(pixels, torch.arange(5))
    images, labels = next(Loader(array, batch=5, seed=0).epoch(1))
    assert torch.equal(images, torch.from_numpy(pixels)[labels].permute(0, 3, 1, 2))
    text = TextWindows(np.arange(100, 130), 4)
    windows, following = next(Loader(text, batch=26, seed=0, workers=2).epoch(1))
    assert torch.equal(windows[:, -1] + 1, following)
    assert sorted(windows[:, 0].tolist()) == list(range(100, 126))


def test_fewer_samples_than_a_batch_are_refused_where_the_last_is_dropped(files: ImageFiles) -> None:
    with pytest.raises(ConfigError, match="no whole batch of 71"):
        loader(files, batch=71, drop_last=True)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_pixels(files: ImageFiles) -> None:
    expected = samples(loader(files).epoch(2))
    mine = loader(files, device=torch.device("cuda"), workers=2)
    assert same([(label, image.cpu()) for label, image in samples(mine.epoch(2))], expected)
