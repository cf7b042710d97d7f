"""Every operation beside torchvision's function with the same parameters."""

import pytest
import torch
from benchmarks.conformance import CASES, chain, compare, pictures

from rooflight.data.pipeline import ColorJitter, Pipeline, RandomAffine, RandomResizedCrop, RandomRotation
from rooflight.data.pipeline.reference import run

WHOLE_CHAIN = "RandomResizedCrop + flip + rotation + ColorJitter"


@pytest.mark.parametrize("name", [name for name in CASES if name != WHOLE_CHAIN])
def test_within_a_level_of_torchvision(name: str) -> None:
    found = compare(name, pictures(6), "cpu")
    assert found.share_above_1 <= 2e-5
    assert found.largest <= 2
    assert found.mean < 0.02
    assert found.ties < 0.01


def test_the_whole_chain_is_torchvisions_in_every_value() -> None:
    found = compare(WHOLE_CHAIN, pictures(6), "cpu")
    assert found.largest == 0  # ties of the nearest neighbour are left out
    assert found.passes == 1


@pytest.mark.parametrize("op", [RandomResizedCrop(64), ColorJitter(0.4, 0.4, 0.4, 0.1)])
def test_grey_images(op: object) -> None:
    images = pictures(3)[:, :1].contiguous()
    pipeline = Pipeline([op])
    draws = pipeline.draw(range(3))
    drawn = pipeline.parameters(draws, images.shape[2:])
    theirs = torch.stack([chain(pipeline.operations, drawn, index, image) for index, image in enumerate(images)])
    assert int((pipeline.apply(images, draws).int() - theirs.int()).abs().max()) <= 1


def test_one_resample_is_nearer_the_truth_than_a_chain_of_them() -> None:
    """Two warps composed, and one after another as torchvision does, against the picture itself at those places."""

    def scene(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # levels, smooth: its exact values are known anywhere
        return 127 + 60 * torch.sin(x / 3.1) * torch.cos(y / 2.7) + 50 * torch.sin((x + 2 * y) / 4.3)

    size = 96
    y, x = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    image = scene(x, y).round().to(torch.uint8)[None, None].repeat(4, 1, 1, 1)
    pipeline = Pipeline([RandomRotation(20, "bilinear"), RandomAffine(20, scale=(0.9, 1.2), interpolation="bilinear")])
    draws = pipeline.draw(range(4))
    program = pipeline.compile(draws, (size, size), channels=1)
    assert len(program.passes) == 1
    assert program.passes[0].guards.shape[1] == 1
    composed = run(program, image).float()
    drawn = pipeline.parameters(draws, (size, size))
    chained = torch.stack([chain(pipeline.operations, drawn, index, one) for index, one in enumerate(image)]).float()
    errors = {"composed": [], "chained": []}
    for index in range(4):
        u = program.passes[0].matrix[index] @ torch.stack((x, y, torch.ones_like(x))).view(3, -1)
        truth = scene(u[0], u[1]).view(size, size)
        inner = slice(30, 66)  # no fill there, by any of the draws
        errors["composed"].append((composed[index, 0] - truth)[inner, inner].abs().mean())
        errors["chained"].append((chained[index, 0] - truth)[inner, inner].abs().mean())
    composed_error, chained_error = (float(torch.stack(errors[name]).mean()) for name in ("composed", "chained"))
    assert composed_error < 0.7 * chained_error
