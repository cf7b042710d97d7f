"""Masks, boxes and keypoints beside their images and beside torchvision."""

from typing import Any

import pytest
import torch
from benchmarks.conformance import pictures
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as TF

from rooflight.core.errors import ShapeError
from rooflight.data import pipeline as pl
from rooflight.data.pipeline.targets import map_boxes, map_masks, map_points

SIZE = (60, 80)


def test_a_mask_goes_where_its_image_goes() -> None:
    image = (torch.arange(48 * 48).view(1, 1, 48, 48) % 251 + 1).to(torch.uint8)
    pipeline = pl.Pipeline(
        [pl.RandomCrop(40), pl.RandomHorizontalFlip(), pl.RandomRotation(30), pl.RandomAffine(9), pl.ColorJitter(0.5)]
    )
    plain = pl.Pipeline(pipeline.operations[:4])
    for epoch in range(6):
        expected = plain.apply(image, plain.draw([3], epoch))[0, 0]
        program = pipeline.compile(pipeline.draw([3], epoch), (48, 48), 1)
        assert torch.equal(map_masks(program, image[:, 0].long())[0], expected.long())
    with pytest.raises(ShapeError, match="masks are"):
        map_masks(program, image)


@pytest.mark.parametrize(
    "operations",
    [
        [pl.RandomResizedCrop(32)],
        [pl.Resize((90, 33)), pl.RandomHorizontalFlip(1.0)],
        [pl.RandomResizedCrop(50, scale=(0.5, 1.0)), pl.RandomRotation(40)],
        [pl.RandomPerspective(p=1.0)],
        [pl.RandomAffine(30, shear=(-5, 5, -5, 5), scale=(0.8, 1.2), translate=(0.1, 0.1))],
        [pl.RandomRotation(40), pl.Resize((30, 40))],
    ],
)
def test_points_and_boxes_point_at_the_same_pixels(operations: list[Any]) -> None:
    """A bright square on black: its middle and its box are found again in the result."""
    pipeline = pl.Pipeline(operations)
    image = torch.zeros(8, 1, *SIZE, dtype=torch.uint8)
    image[:, :, 26:34, 38:46] = 255
    draws = pipeline.draw(range(8))
    program = pipeline.compile(draws, SIZE, 1)
    result = pipeline.apply(image, draws)[:, 0].float()
    middle, inside = map_points(program, torch.tensor([[[42.0, 30.0]]]).expand(8, 1, 2))
    box, kept = map_boxes(program, torch.tensor([[[38.0, 26.0, 46.0, 34.0]]]).expand(8, 1, 4))
    checked = 0
    for row in range(8):
        x0, y0, x1, y1 = box[row, 0].tolist()
        if not (
            kept[row, 0]
            and inside[row, 0]
            and min(x0, y0) > 1
            and x1 < result.shape[2] - 1
            and y1 < result.shape[1] - 1
        ):
            continue
        ys, xs = (result[row] > 127).nonzero().unbind(1)
        found = torch.tensor([xs.float().mean() + 0.5, ys.float().mean() + 0.5])
        assert (found - middle[row, 0]).abs().max() < 0.6
        around = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
        assert (around - box[row, 0]).abs().max() < 1.6
        checked += 1
    assert checked >= 2


def test_boxes_as_torchvision_moves_and_sanitises_them() -> None:
    boxes = torch.tensor([[[4.0, 5.0, 30.0, 40.0], [70.0, 50.0, 79.0, 59.0], [0.0, 0.0, 3.0, 3.0]]]).expand(6, 3, 4)
    pipeline = pl.Pipeline([pl.RandomResizedCrop(32), pl.RandomHorizontalFlip(), pl.RandomRotation(20)])
    draws = pipeline.draw(range(6))
    crop, flip, turn = pipeline.parameters(draws, SIZE)
    ours, kept = map_boxes(pipeline.compile(draws, SIZE), boxes)
    for row in range(6):
        theirs = tv_tensors.BoundingBoxes(boxes[row], format="XYXY", canvas_size=SIZE)
        where = [int(crop[name][row]) for name in ("top", "left", "height", "width")]
        theirs = TF.resized_crop(theirs, *where, [32, 32])
        theirs = TF.clamp_bounding_boxes(theirs)
        theirs = TF.horizontal_flip(theirs) if flip["applied"][row] else theirs
        theirs = TF.clamp_bounding_boxes(TF.rotate(theirs, float(turn["angle"][row])))
        both = kept[row]
        assert torch.allclose(ours[row][both], torch.Tensor(theirs)[both], atol=1e-2)
        sides = torch.Tensor(theirs)[:, 2:] - torch.Tensor(theirs)[:, :2]
        assert torch.equal(both, (sides >= 1).all(1) & (sides.prod(1) >= 1))
    assert not bool(kept.all())
    assert bool(kept.any())


def test_points_of_several_passes() -> None:
    pipeline = pl.Pipeline([pl.RandomRotation((90, 90)), pl.Resize((80, 80)), pl.Resize((40, 20))])
    program = pipeline.compile(pipeline.draw([0]), (100, 100))
    assert len(program.passes) == 3
    moved, inside = map_points(
        program, torch.tensor([[[100.0, 0.0], [50.0, 50.0]]])
    )  # the upper right corner turns left
    assert torch.allclose(moved, torch.tensor([[[0.0, 0.0], [10.0, 20.0]]]), atol=1e-3)
    assert bool(inside[0, 1])
    assert pipeline.apply(pictures(1, 100, 100), pipeline.draw([0])).shape == (1, 3, 40, 20)
