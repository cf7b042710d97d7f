"""The description, and the promises of draw and apply."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.conformance import pictures

from rooflight.core.errors import ConfigError, DataError, ShapeError
from rooflight.data import pipeline as pl
from rooflight.data.pipeline.operations import OPERATIONS
from rooflight.data.pipeline.reference import run

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MAIN = pl.Pipeline(
    [
        pl.RandomResizedCrop(32),
        pl.RandomHorizontalFlip(),
        pl.RandomRotation(15),
        pl.ColorJitter(0.4, 0.4, 0.4, 0.1),
        pl.Normalize(MEAN, STD),
    ]
)


def test_defaults_and_names_are_torchvisions() -> None:
    import inspect

    from torchvision.transforms import v2

    ours_alone = {"mode"}  # MixUp and CutMix by sample
    for name, kind in OPERATIONS.items():
        theirs = inspect.signature(getattr(v2, name)).parameters
        for field in inspect.signature(kind).parameters.values():
            if field.name not in ours_alone:
                assert field.name in theirs, (name, field.name)
                assert field.default == theirs[field.name].default or name == "ToDtype", (name, field.name)


def test_a_misspelt_argument_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="RandomRotation has no argument 'degree'"):
        pl.RandomRotation(degree=15)  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="missing 1 required positional argument: 'size'"):
        pl.RandomResizedCrop()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pl.RandomHorizontalFlip(1.5), "p is 1.5; it takes a probability"),
        (lambda: pl.Resize(0), "size is 0"),
        (lambda: pl.Resize(8, interpolation="bilinera"), "Did you mean 'bilinear'"),
        (lambda: pl.Resize(8, interpolation="bicubic", antialias=False), "True with bicubic"),
        (lambda: pl.ColorJitter(hue=0.7), "hue"),
        (lambda: pl.GaussianBlur(4), "odd"),
        (lambda: pl.Normalize((0.5,), (0.0,)), "std above 0"),
        (lambda: pl.RandomRotation(10, expand=True), "expand"),
        (lambda: pl.Pipeline([pl.Normalize(MEAN, STD), pl.ColorJitter(0.4)]), "ColorJitter stands after Normalize"),
        (lambda: pl.Pipeline([pl.Normalize(MEAN, STD), pl.Normalize(MEAN, STD)]), "takes one Normalize"),
        (lambda: pl.Pipeline(["Resize"]), "str is no operation"),
        (lambda: pl.Pipeline.from_json('{"operations": [{"name": "Resise", "size": [8]}]}'), "Did you mean 'Resize'"),
        (lambda: pl.Pipeline.from_json('{"operations": [{"name": "Resize", "sise": [8]}]}'), "Did you mean 'size'"),
        (lambda: pl.Pipeline.from_json('{"operations": [{"name": ["x"]}]}'), "there is no operation"),
        (lambda: pl.RandomHorizontalFlip("x"), "RandomHorizontalFlip: .* Its arguments: p"),
        (lambda: pl.Pipeline.from_json("[1]"), "a pipeline is"),
        (lambda: pl.Pipeline.from_json("{"), "not JSON"),
    ],
)
def test_what_cannot_be_is_said(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()  # type: ignore[operator]


def test_json_both_ways_and_a_hash_of_the_meaning() -> None:
    again = pl.Pipeline.from_json(MAIN.to_json())
    assert again == MAIN
    assert again.sha256 == MAIN.sha256
    assert pl.Pipeline([pl.Resize(8)]).sha256 == pl.Pipeline([pl.Resize([8])]).sha256  # type: ignore[arg-type]
    assert pl.Pipeline([pl.Resize(8)]).sha256 != pl.Pipeline([pl.Resize(9)]).sha256
    short = pl.Pipeline.from_json(json.dumps({"operations": [{"name": "RandomRotation", "degrees": 15}]}))
    assert short == pl.Pipeline([pl.RandomRotation(15)])


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_draws_and_pixels_do_not_depend_on_the_batch(batch: int) -> None:
    images = pictures(64, 40, 48)
    ids = np.arange(1000, 1064)
    whole = MAIN.apply(images, MAIN.draw(ids, epoch=7, seed=5))
    parts = [
        MAIN.apply(images[start : start + batch], MAIN.draw(ids[start : start + batch], epoch=7, seed=5))
        for start in range(0, 64, batch)
    ]
    difference = (torch.cat(parts) - whole).abs() * 255 * min(STD)
    assert float((difference > 0.5).float().mean()) < 1e-3  # sums in another order: a level, hardly anywhere
    assert float(difference.max()) < 8


def test_draws_are_saved_and_replayed(tmp_path: Path) -> None:
    images = pictures(3, 40, 48)
    draws = MAIN.draw([4, 9, 2], epoch=1, seed=8)
    draws.save(tmp_path / "draws.npz")
    again = pl.load_draws(tmp_path / "draws.npz")
    assert torch.equal(MAIN.apply(images, draws), MAIN.apply(images, again))
    with pytest.raises(ConfigError, match="another pipeline"):
        pl.Pipeline([pl.RandomRotation(3)]).apply(images, again)
    whole = (tmp_path / "draws.npz").read_bytes()
    for content in (b"PK", b"words", whole[:100], whole[:-40]):
        (tmp_path / "none.npz").write_bytes(content)
        with pytest.raises(DataError, match="holds no draws, or is cut off"):
            pl.load_draws(tmp_path / "none.npz")
    with pytest.raises(DataError, match="no such file"):
        pl.load_draws(tmp_path / "nothing.npz")
    with pytest.raises(ShapeError, match="for 3 images, the batch has 2"):
        MAIN.apply(images[:2], draws)


def test_images_of_several_sizes_equal_each_alone() -> None:
    picture = pictures(1)[0]
    images = [picture[:, :height, :width] for height, width in ((50, 60), (200, 90), (8, 9))]
    pipeline = pl.Pipeline([pl.Resize(40), pl.CenterCrop(32), pl.ToDtype("float32", scale=True)])
    together = pipeline.apply(images, pipeline.draw(range(3)))
    for row, image in enumerate(images):
        alone = pipeline.apply(image[None], pipeline.draw([row]))
        assert torch.allclose(together[row], alone[0], atol=1e-6)
    with pytest.raises(ConfigError, match="several sizes"):
        pl.Pipeline([pl.Resize(40)]).apply(images, pl.Pipeline([pl.Resize(40)]).draw(range(3)))


def test_dtype_and_layout() -> None:
    images = pictures(2, 20, 24)
    assert pl.Pipeline([pl.Resize(8)]).apply(images, pl.Pipeline([pl.Resize(8)]).draw([0, 1])).dtype == torch.uint8
    half = pl.Pipeline([pl.ToDtype("bfloat16", scale=True), pl.Normalize(MEAN, STD)], channels_last=True)
    result = half.apply(images, half.draw([0, 1]))
    assert result.dtype == torch.bfloat16
    assert result.is_contiguous(memory_format=torch.channels_last)
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (MEAN, STD))
    assert torch.allclose(result.float(), (images / 255 - mean) / std, atol=0.02)


def test_images_that_cannot_be_are_refused() -> None:
    draws = MAIN.draw([0, 1])
    with pytest.raises(ShapeError, match="uint8"):
        MAIN.apply(torch.rand(2, 3, 8, 8), draws)
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        MAIN.apply(torch.zeros(2, 4, 8, 8, dtype=torch.uint8), draws)
    crop = pl.Pipeline([pl.RandomCrop(32)])
    with pytest.raises(ConfigError, match=r"window is 32.* 8.8"):
        crop.apply(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), crop.draw([0]))


def test_the_reference_compiles_to_one_graph() -> None:
    images = pictures(2, 40, 48)
    program = MAIN.compile(MAIN.draw([0, 1]), (40, 48))
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert torch.allclose(compiled(program, images), run(program, images), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 3)])
def test_the_smallest_images_go_through_everything(size: tuple[int, int]) -> None:
    images = pictures(4)[:, :, : size[0], : size[1]].contiguous()
    every = pl.Pipeline(
        [
            *(pl.RandomPerspective(p=1.0), pl.RandomAffine(30, scale=(0.5, 2.0)), pl.RandomRotation(90)),
            *(pl.RandomAutocontrast(1.0), pl.RandomEqualize(1.0), pl.RandomAdjustSharpness(2, 1.0), pl.GaussianBlur(5)),
            *(pl.RandAugment(), pl.Resize(9), pl.CenterCrop(8), pl.RandomErasing(1.0)),
        ]
    )
    assert every.apply(images, every.draw(range(4))).shape == (4, 3, 8, 8)


def test_erasing_in_the_unit_of_where_it_stands() -> None:
    images = torch.full((64, 3, 20, 20), 255, dtype=torch.uint8)
    for operations, erased in (
        ([pl.RandomErasing(1.0, value=51)], 51.0),
        ([pl.RandomErasing(1.0, value=51), pl.ToDtype("float32", scale=True)], 0.2),
        ([pl.ToDtype("float32", scale=True), pl.RandomErasing(1.0, value=0.2), pl.Normalize(MEAN, STD)], None),
        ([pl.Normalize(MEAN, STD), pl.RandomErasing(1.0, value=7)], 7.0),
    ):
        pipeline = pl.Pipeline(operations)
        draws = pipeline.draw(range(64))
        result = pipeline.apply(images, draws).float()
        place = [isinstance(op, pl.RandomErasing) for op in operations].index(True)
        box = pipeline.parameters(draws, (20, 20))[place]
        expected = (0.2 - MEAN[0]) / STD[0] if erased is None else erased
        for row in range(64):
            count = int(box["height"][row] * box["width"][row])
            assert int((result[row, 0] - expected).abs().lt(1e-4).sum()) == count
        assert box["height"].max() > 0


def test_mixing_by_batch_and_by_sample() -> None:
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 6, 6) * 60
    labels = torch.arange(4)
    for kind, mode in ((pl.MixUp, "batch"), (pl.MixUp, "elem"), (pl.CutMix, "batch"), (pl.CutMix, "elem")):
        pipeline = pl.Pipeline([kind(alpha=1.0, num_classes=4, mode=mode)])
        draws = pipeline.draw(range(4), epoch=3)
        mixed, shares = pipeline.apply(images, draws), pipeline.labels(labels, draws, (6, 6))
        assert torch.allclose(shares.sum(1), torch.ones(4))
        # whatever the boxes and shares: a sample's mean level is its labels' mean level
        assert torch.allclose(mixed.mean((1, 2, 3)), (shares * torch.arange(4) * 60).sum(1), atol=1e-3)
        partners = shares.clone().fill_diagonal_(0).argmax(1)[shares.diagonal() < 1]
        whose = torch.arange(4)[shares.diagonal() < 1]
        expected = (whose - 1) % 4 if mode == "batch" else 3 - whose
        assert torch.equal(partners, expected)
        if mode == "batch":
            assert len(shares.diagonal().unique()) == 1


def test_the_seed_changes_the_pixels() -> None:
    images = pictures(2, 40, 48)
    assert not torch.equal(MAIN.apply(images, MAIN.draw([0, 1], seed=1)), MAIN.apply(images, MAIN.draw([0, 1], seed=2)))
    assert not torch.equal(MAIN.apply(images, MAIN.draw([0, 1], 1)), MAIN.apply(images, MAIN.draw([0, 1], 2)))


def test_a_program_says_which_batch_it_is_for() -> None:
    program = MAIN.compile(MAIN.draw([0, 1]), (40, 48))
    with pytest.raises(ShapeError, match="2 images of"):
        run(program, pictures(3, 40, 48))
    assert replace(program, channels_last=True).size == (32, 32)


def test_a_clip_has_one_draw_for_all_its_frames() -> None:
    frames = pictures(2, 40, 48)
    clips = torch.stack((frames[:1].expand(3, -1, -1, -1), frames[1:].expand(3, -1, -1, -1))).transpose(1, 2)
    draws = MAIN.draw([5, 6], epoch=2)
    result = MAIN.apply_clips(clips, draws)
    assert result.shape == (2, 3, 3, 32, 32)
    assert torch.allclose(result, MAIN.apply(frames, draws)[:, :, None].expand_as(result), atol=0.02)
    with pytest.raises(ShapeError, match="clips are"):
        MAIN.apply_clips(frames, draws)
    mixing = pl.Pipeline([pl.MixUp()])
    with pytest.raises(ConfigError, match="not frames"):
        mixing.apply_clips(clips, mixing.draw([0, 1]))


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="finite numbers"):
        pl.RandomRotation(float("nan"))
    with pytest.raises(ConfigError, match="std above 0"):
        pl.Normalize((float("nan"),), (1.0,))


def test_as_many_images_as_draws_and_none_without_a_pixel() -> None:
    pipeline = pl.Pipeline([pl.RandomResizedCrop(8)])
    draws = pipeline.draw([0, 1])
    with pytest.raises(ShapeError, match="the draws are for 2 images, the batch has 3"):
        pipeline.apply(torch.zeros(3, 3, 9, 9, dtype=torch.uint8), draws)
    with pytest.raises(ShapeError, match="without a pixel"):
        pipeline.apply(torch.zeros(2, 3, 0, 9, dtype=torch.uint8), draws)


@pytest.mark.parametrize("operations", [None, pl.Resize(3)])
def test_a_pipeline_is_made_of_a_list(operations: Any) -> None:
    with pytest.raises(ConfigError, match="takes a list of operations"):
        pl.Pipeline(operations)


def test_images_are_tensors_of_the_channels_that_were_compiled_for() -> None:
    pipeline = pl.Pipeline([pl.Resize(8)])
    draws = pipeline.draw([0])
    with pytest.raises(ShapeError, match="given ndarray"):
        pipeline.apply(np.zeros((1, 3, 9, 9), np.uint8), draws)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="for images of 1 channels, these have 3"):
        run(pipeline.compile(draws, (9, 9), channels=1), torch.zeros(1, 3, 9, 9, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("ids", "at", "says"),
    [
        ([2**70], {}, "whole numbers"),
        ([1.5], {}, "whole numbers"),
        ("ab", {}, "whole numbers"),
        ([2**63], {}, "outside 0"),
        ([1], {"epoch": float("nan")}, "epoch nan is no whole number"),
        ([1], {"epoch": 0.5}, r"epoch 0\.5 is no whole number"),
        ([1], {"seed": 2**70}, "seed"),
    ],
)
def test_what_no_counter_holds_is_not_drawn_for(ids: Any, at: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        MAIN.draw(ids, **at)


def test_labels_of_more_classes_than_are_mixed() -> None:
    pipeline = pl.Pipeline([pl.MixUp(num_classes=3)])
    with pytest.raises(ConfigError, match="labels of 3 classes are int64, 0 to 2; these are int64, 0 to 3"):
        pipeline.labels(torch.tensor([0, 3]), pipeline.draw([0, 1]), (8, 8))


def test_draws_are_saved_where_there_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        MAIN.draw([0]).save(tmp_path / "none" / "draws.npz")


def test_draws_that_are_cut_off(tmp_path: Path) -> None:
    draws = pl.Pipeline([pl.RandomResizedCrop(8)]).draw([0, 1])
    draws.save(tmp_path / "draws.npz")
    whole = (tmp_path / "draws.npz").read_bytes()
    (tmp_path / "draws.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="holds no draws"):
        pl.load_draws(tmp_path / "draws.npz")
