"""Shift and mirror, against plain slicing."""

import numpy as np
import torch
from torch import Tensor

from rooflight.core.runs import Preprocessing
from rooflight.data.augment import Draw, apply, draw, pad
from rooflight.data.batches import Batches, normalise
from rooflight.data.pipeline import Pipeline, RandomCrop, RandomHorizontalFlip

SHIFT = 2


def draw_of(count: int, *, shift: int, flip: bool) -> Draw:
    return draw(np.arange(count), epoch=1, seed=0, shift=shift, flip=flip, device=torch.device("cpu"))


def by_hand(image: Tensor, down: int, right: int, mirrored: int) -> Tensor:
    """Mirror, then move by whole pixels into a black frame: the definition, with slices."""
    source = image.flip(-1) if mirrored else image
    result = torch.zeros_like(source)
    _, height, width = source.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                result[:, y, x] = source[:, y - down, x - right]
    return result


def images(count: int, channels: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 7, 5), generator=generator, dtype=torch.uint8)


def test_apply_is_what_slicing_gives() -> None:
    source = images(4, 3)
    chosen = torch.tensor([3, 0, 0, 2, 1, 1])
    params = Draw(
        down=torch.tensor([0, 1, -2, 2, 0, -1]),
        right=torch.tensor([0, -1, 2, 0, -2, 1]),
        mirrored=torch.tensor([0, 1, 0, 1, 1, 0]),
    )
    result = apply(pad(source, SHIFT), chosen, params, shift=SHIFT)
    for row, index in enumerate(chosen.tolist()):
        expected = by_hand(source[index], int(params.down[row]), int(params.right[row]), int(params.mirrored[row]))
        assert torch.equal(result[row], expected)


def test_no_shift_and_no_flip_change_nothing() -> None:
    source = images(3, 1)
    params = draw_of(3, shift=0, flip=False)
    assert torch.equal(apply(pad(source, 0), torch.arange(3), params, shift=0), source)


def test_draws_cover_the_range_evenly() -> None:
    params = draw_of(10_000, shift=SHIFT, flip=True)
    for moves in (params.down, params.right):
        counts = (moves + SHIFT).bincount(minlength=5)
        assert len(counts) == 5
        assert counts.min() > 1_800  # 2,000 expected, 40 standard deviation
    assert 4_700 < int(params.mirrored.sum()) < 5_300
    assert not bool(draw_of(100, shift=1, flip=False).mirrored.any())


PLAIN = Preprocessing(channels=1, height=7, width=5, mean=(0.25,), std=(0.5,))


def batches(count: int, *, batch: int = 4, seed: int = 0, shift: int = 1, flip: bool = True, **ranks: int) -> Batches:
    labels = torch.arange(count)
    return Batches(
        images(count, 1),
        labels,
        PLAIN,
        batch=batch,
        shift=shift,
        flip=flip,
        augmented_epochs=2,
        seed=seed,
        device=torch.device("cpu"),
        **ranks,
    )


def test_an_epoch_begun_anywhere_goes_on_as_the_whole_one() -> None:
    whole = list(batches(10).epoch(1))
    rest = list(batches(10).epoch(1, start=4))
    assert len(rest) == len(whole) - 1
    for (pixels, labels), (expected, of) in zip(rest, whole[1:], strict=True):
        assert torch.equal(pixels, expected)
        assert torch.equal(labels, of)


def test_a_sample_looks_the_same_in_every_batch_and_on_every_rank() -> None:
    def looks(made: Batches) -> dict[int, Tensor]:
        return {int(label): x for pixels, labels in made.epoch(1) for x, label in zip(pixels, labels, strict=True)}

    alone = looks(batches(12, batch=4))
    for other in (batches(12, batch=6), batches(12, batch=12)):
        assert all(torch.equal(x, alone[label]) for label, x in looks(other).items())
    ranks = [batches(12, batch=4, rank=rank, world_size=2) for rank in (0, 1)]
    first, second = (looks(made) for made in ranks)
    assert not first.keys() & second.keys()
    assert all(torch.equal(x, alone[label]) for label, x in (first | second).items())
    order = ranks[0].order(1)
    batch = {int(label) for made in ranks for label in next(iter(made.epoch(1)))[1]}
    assert batch == set(order[:4].tolist())


def test_an_epoch_holds_each_sample_once_and_its_own_label() -> None:
    made = batches(10, shift=0, flip=False)
    epoch = list(made.epoch(1))
    assert [len(labels) for _, labels in epoch] == [4, 4, 2]
    assert len(made) == 3
    labels = torch.cat([labels for _, labels in epoch])
    assert sorted(labels.tolist()) == list(range(10))
    pixels = torch.cat([pixels for pixels, _ in epoch])
    assert torch.allclose(pixels, normalise(images(10, 1)[labels], PLAIN))


def test_the_last_epochs_show_the_images_as_they_are() -> None:
    def is_plain(epoch: int) -> bool:
        found = list(batches(10).epoch(epoch))
        pixels, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        return torch.allclose(pixels, normalise(images(10, 1)[labels], PLAIN))

    assert [is_plain(epoch) for epoch in (1, 2, 3)] == [False, False, True]


def test_epochs_differ_and_repeat_with_their_seed() -> None:
    first, again = (torch.cat([x for x, _ in batches(10).epoch(1)]) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.cat([x for x, _ in batches(10).epoch(2)]))
    assert not torch.equal(first, torch.cat([x for x, _ in batches(10, seed=1).epoch(1)]))


def test_normalise_by_hand() -> None:
    pixels = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    shape = Preprocessing(channels=1, height=1, width=2, mean=(0.25,), std=(0.5,))
    expected = [(0 - 0.25) / 0.5, (1 - 0.25) / 0.5]
    assert torch.allclose(normalise(pixels, shape).flatten(), torch.tensor(expected))


def test_the_gather_gives_the_pixels_of_a_pipeline() -> None:
    """The classic CNN's shift and mirror are RandomCrop with a border and a flip; the gather is its quick road."""
    source = images(6, 3)
    pipeline = Pipeline([RandomCrop((7, 5), padding=SHIFT), RandomHorizontalFlip()])
    draws = pipeline.draw(range(6), epoch=4)
    crop, flip = pipeline.parameters(draws, (7, 5))
    mirrored = torch.from_numpy(flip["applied"]).long()
    right = -torch.from_numpy(crop["left"]) * (1 - 2 * mirrored)  # the pipeline mirrors after the shift
    params = Draw(down=-torch.from_numpy(crop["top"]), right=right, mirrored=mirrored)
    ours = apply(pad(source, SHIFT), torch.arange(6), params, shift=SHIFT)
    assert torch.equal(ours, pipeline.apply(source, draws))
