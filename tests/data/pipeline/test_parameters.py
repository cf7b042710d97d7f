"""Distributions of the parameters: torchvision's own, drawn beside."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from rooflight.data import pipeline as pl
from rooflight.data.pipeline.mixing import GAMMA_WORDS, gamma
from rooflight.data.pipeline.philox import words
from rooflight.data.pipeline.policies import NAMES

COUNT = 4000
BOUND = 1.95 * math.sqrt(2 / COUNT)  # of the Kolmogorov-Smirnov distance of two samples, at a level of 0.001


def distance(first: Any, second: Any) -> float:
    """Kolmogorov-Smirnov: the largest difference between two samples' cumulative shares."""
    first, second = np.sort(np.asarray(first, float)), np.sort(np.asarray(second, float))
    everything = np.concatenate((first, second))
    shares = (np.searchsorted(part, everything, side="right") / len(part) for part in (first, second))
    return float(np.abs(np.subtract(*shares)).max())


def drawn(op: Any, size: tuple[int, int]) -> dict[str, Any]:
    pipeline = pl.Pipeline([op])
    return pipeline.parameters(pipeline.draw(range(COUNT)), size)[0]


def torchvisions(transform: Any, size: tuple[int, int]) -> dict[str, Any]:
    torch.manual_seed(0)
    image = torch.zeros(3, *size, dtype=torch.uint8)
    found = [transform.make_params([image]) for _ in range(COUNT)]
    return {name: [row[name] for row in found] for name in found[0]}


@pytest.mark.parametrize("size", [(256, 256), (40, 300), (7, 5), (300, 20)])
def test_random_resized_crop(size: tuple[int, int]) -> None:
    from torchvision.transforms import v2

    ours, theirs = drawn(pl.RandomResizedCrop(32), size), torchvisions(v2.RandomResizedCrop(32), size)
    for name in ("top", "left", "height", "width"):
        assert distance(ours[name], theirs[name]) < BOUND, name
    assert (ours["top"] + ours["height"] <= size[0]).all()
    assert (ours["left"] + ours["width"] <= size[1]).all()


def test_the_middle_when_no_box_fits() -> None:
    for size, expected in (((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10))):
        ours = drawn(pl.RandomResizedCrop(8, scale=(0.9, 1.0)), size)
        for name, value in zip(("top", "left", "height", "width"), expected, strict=True):
            assert (ours[name] == value).all()


def test_rotation_affine_and_perspective() -> None:
    from torchvision.transforms import v2

    setting: dict[str, Any] = {"translate": (0.1, 0.3), "scale": (0.5, 2.0), "shear": (-10, 10, -5, 20)}
    ours, theirs = (
        drawn(pl.RandomAffine(30, **setting), (90, 120)),
        torchvisions(v2.RandomAffine(30, **setting), (90, 120)),
    )
    for name in ("angle", "scale"):
        assert distance(ours[name], theirs[name]) < BOUND
    for name in ("translate", "shear"):
        for axis in (0, 1):
            assert distance(ours[name][:, axis], [row[axis] for row in theirs[name]]) < BOUND
    angles = drawn(pl.RandomRotation((10, 50)), (9, 9))["angle"]
    assert 10 <= angles.min() < 10.1
    assert 49.9 < angles.max() < 50
    ends = drawn(pl.RandomPerspective(0.6, p=1.0), (90, 121))
    corners = ends["endpoints"]
    assert ends["applied"].all()
    assert corners[:, 0].max(0).tolist() == [36, 27]  # int(0.6·60), int(0.6·45)
    assert corners[:, 2].min(0).tolist() == [84, 62]
    assert corners[:, 2].max(0).tolist() == [120, 89]


def test_color_jitter() -> None:
    from torchvision.transforms import v2

    ours = drawn(pl.ColorJitter(0.4, 1.5, (0.2, 0.9), 0.1), (8, 8))
    theirs = torchvisions(v2.ColorJitter(0.4, 1.5, (0.2, 0.9), 0.1), (8, 8))
    for name in ("brightness", "contrast", "saturation", "hue"):
        assert distance(ours[name], theirs[f"{name}_factor"]) < BOUND
    _, counts = np.unique(ours["order"], axis=0, return_counts=True)
    assert len(counts) == 24
    assert ((counts - COUNT / 24) ** 2 / (COUNT / 24)).sum() < 49.7  # χ² of 23 degrees, at 0.001
    assert set(drawn(pl.ColorJitter(hue=0.1), (8, 8))) == {"order", "hue"}


def test_random_crop_and_blur() -> None:
    ours = drawn(pl.RandomCrop(28, padding=4), (32, 32))
    for name in ("top", "left"):
        values, counts = np.unique(ours[name], return_counts=True)
        assert values.tolist() == list(range(-4, 9))
        assert ((counts - COUNT / 13) ** 2 / (COUNT / 13)).sum() < 32.9  # χ² of 12 degrees
    needed = drawn(pl.RandomCrop(40, pad_if_needed=True), (32, 50))
    assert sorted(set(needed["top"])) == list(range(-8, 1))  # 8 rows are added on both sides, as torchvision does
    assert sorted(set(needed["left"])) == list(range(11))
    assert 0.1 <= drawn(pl.GaussianBlur(3), (8, 8))["sigma"].min() < 0.11


def test_random_erasing() -> None:
    from torchvision.transforms import v2

    ours, theirs = drawn(pl.RandomErasing(1.0), (60, 40)), torchvisions(v2.RandomErasing(1.0), (60, 40))
    for name, other in (("top", "i"), ("left", "j"), ("height", "h"), ("width", "w")):
        assert distance(ours[name], theirs[other]) < BOUND
    assert 0.47 < (drawn(pl.RandomErasing(), (60, 40))["height"] > 0).mean() < 0.53


@pytest.mark.parametrize(("op", "bins"), [(pl.RandAugment(), None), (pl.TrivialAugmentWide(), 31)])
def test_policies_draw_torchvisions_table(op: Any, bins: int | None) -> None:
    from torchvision.transforms import v2

    table = getattr(v2, type(op).__name__)._AUGMENTATION_SPACE
    ours = drawn(op, (100, 150))
    choice, magnitude = ours["choice"].ravel(), ours["magnitude"].ravel()
    assert list(table) == list(NAMES)
    counts = np.bincount(choice, minlength=14)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 34.5  # χ² of 13 degrees
    for index, (make, signed) in enumerate(table.values()):
        values = make(31, 100, 150)
        mine = magnitude[choice == index]
        if values is None:
            assert not mine.any()
            continue
        allowed = values.double().numpy() if bins else values.double().numpy()[9:10]
        assert np.abs(np.abs(mine)[:, None] - np.abs(allowed)).min(1).max() < 1e-4
        assert len(np.unique(np.abs(mine).round(4))) == len(np.unique(np.abs(allowed).round(4)))
        assert bool((mine < 0).any()) == signed


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_of_mixing_are_beta(alpha: float) -> None:
    drawn_words = words(np.arange(COUNT), epoch=0, seed=0, operation=0, blocks=-(-2 * GAMMA_WORDS // 4))
    first, second = (
        gamma(drawn_words[:, :GAMMA_WORDS], alpha),
        gamma(drawn_words[:, GAMMA_WORDS : 2 * GAMMA_WORDS], alpha),
    )
    expected = np.random.default_rng(0).beta(alpha, alpha, COUNT)
    assert distance(first / (first + second), expected) < BOUND
    assert distance(first, np.random.default_rng(1).gamma(alpha, size=COUNT)) < BOUND


@pytest.mark.parametrize("op", [pl.RandomHorizontalFlip(0.3), pl.RandomGrayscale(0.3), pl.RandomEqualize(0.3)])
def test_applied_with_probability_p(op: Any) -> None:
    assert 0.27 < drawn(op, (8, 8))["applied"].mean() < 0.33  # 0.007 standard deviation
