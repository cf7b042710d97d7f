"""--augmentation: what it takes, and that its pixels are the pipeline's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.core.runs import Preprocessing
from rooflight.data.augmentation import as_transform, find_augmentation, read_augmentation
from rooflight.data.batches import Batches
from rooflight.data.engines import choose
from rooflight.data.pipeline import Pipeline, RandomCrop, RandomRotation

SIZE = (20, 16)
PIXELS = Preprocessing(channels=3, height=20, width=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def names(spec: str, *, flip: bool = False) -> list[str]:
    return [type(op).__name__ for op in read_augmentation(spec, flip=flip)(SIZE).operations]


def images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, *SIZE), generator=torch.Generator().manual_seed(0)).byte()


def test_names_become_operations_with_the_mirror_between_crop_and_colours() -> None:
    assert names("imagenet") == ["RandomResizedCrop"]
    assert names("randaugment,imagenet", flip=True) == ["RandomResizedCrop", "RandomHorizontalFlip", "RandAugment"]
    assert names("jitter,trivialaugment") == ["ColorJitter", "TrivialAugmentWide"]


def test_a_file_is_the_pipeline_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(Pipeline([RandomRotation(10)]).to_json())
    assert names(str(path), flip=True) == ["RandomRotation"]


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ('{"name": "Normalize", "mean": [0.5], "std": [0.5]}', "measures its own normalisation"),
        ('{"name": "MixUp"}', "one label each"),
        ('{"name": "RandomRotatoin", "degrees": 10}', "Did you mean 'RandomRotation'"),
        ('{"name": "CenterCrop", "size": [9, 9]}', r"gives \(3, 9, 9\), the model takes \(3, 20, 16\)"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path: Path, operation: str, says: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(f'{{"operations": [{operation}]}}')
    with pytest.raises(ConfigError, match=says):
        find_augmentation(str(path), PIXELS, flip=True)


def test_unknown_names_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'randaugment'"):
        names("randaugmnet")
    with pytest.raises(ConfigError, match="no such file"):
        names(str(tmp_path / "none.json"))


def test_what_scales_images_itself_is_found_out(tmp_path: Path) -> None:
    assert find_augmentation("imagenet", PIXELS, flip=True).fits
    assert not find_augmentation("randaugment", PIXELS, flip=True).fits
    path = tmp_path / "mine.json"
    path.write_text(Pipeline([RandomCrop(SIZE, padding=2)]).to_json())
    assert not find_augmentation(str(path), PIXELS, flip=True).fits  # it would cut a corner out of a photograph


def batches(batch: int, source: torch.Tensor) -> Batches:
    asked = find_augmentation("imagenet,jitter", PIXELS, flip=True)
    transform, _ = as_transform(asked, PIXELS, source, epochs=1)
    labels = torch.arange(len(source))
    return Batches(
        source, labels, PIXELS, batch=batch, shift=2, flip=True, augmented_epochs=1, seed=3,
        device=torch.device("cpu"), transform=transform,
    )  # fmt: skip


def test_a_set_in_memory_goes_through_the_pipeline_drawn_by_sample() -> None:
    source = images(11)
    pipeline = find_augmentation("imagenet,jitter", PIXELS, flip=True).pipeline
    expected = pipeline.apply(source, pipeline.draw(np.arange(11), epoch=1, seed=3))
    for batch in (1, 4, 11):
        for pixels, labels in batches(batch, source).epoch(1):
            torch.testing.assert_close(pixels, expected[labels], atol=1.01 / 255 / 0.2, rtol=0)


def test_the_last_epochs_show_the_images_as_evaluation_does() -> None:
    source = images(6)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (PIXELS.mean, PIXELS.std))
    for pixels, labels in batches(4, source).epoch(2):
        torch.testing.assert_close(pixels, (source[labels] / 255 - mean) / std)


def test_the_engine_is_chosen_by_measuring_and_named() -> None:
    asked = find_augmentation("imagenet", PIXELS, flip=False)
    _, why = as_transform(asked, PIXELS, images(4), epochs=1)
    assert why.startswith(f"augmentation RandomResizedCrop, Normalize ({asked.pipeline.sha256[:12]}…) by the ")
    assert "images/s" in why or "alone can" in why
    assert choose.engines_folder().is_dir()
