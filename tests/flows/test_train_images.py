"""Training on a folder: in memory, on disk, with broken files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import TrainResult
from rooflight.core.tables import text
from rooflight.core.training import TrainConfig
from rooflight.data.images import load_images
from rooflight.data.pipeline import Pipeline, RandomHorizontalFlip, RandomResizedCrop
from rooflight.flows import train_images
from rooflight.flows.train import train
from rooflight.train.checkpoint.read import read_checkpoint
from tests.flows.conftest import ROOF


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 bundled images of each of two classes as PNG files, 2 of them broken."""
    images = load_images("bundled", channels=1, height=28, width=28)
    root = tmp_path_factory.mktemp("pictures") / "clothes"
    for label in (1, 8):
        folder = root / images.info.classes[label]
        folder.mkdir(parents=True)
        rows = torch.nonzero(images.train_labels == label).flatten()[:100]
        for number, row in enumerate(rows.tolist()):
            Image.fromarray(np.asarray(images.train_images[row, 0])).save(folder / f"{number:03}.png")
    (root / "Bag/013.png").write_bytes(b"")
    (root / "Trouser/050.png").write_bytes((root / "Trouser/050.png").read_bytes()[:60])
    return root


def config(pictures: Path, **changed: object) -> TrainConfig:
    return TrainConfig(
        **({"data": str(pictures), "epochs": 4, "batch": 16, "device": "cpu", "dtype": "float32"} | changed)
    )  # type: ignore[arg-type]


def run(config: TrainConfig, out: Path) -> tuple[TrainResult, str]:
    report = train(config, out=out, roof=ROOF)
    assert isinstance(report.answer, TrainResult)
    return report.answer, text(report)


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_training_goes_on_and_names_the_broken_files(pictures: Path, tmp_path: Path, storage: str) -> None:
    result, shown = run(config(pictures, storage=storage), tmp_path / "run")
    assert result.evaluation.accuracy > 0.9
    assert sorted(Path(bad.name).name for bad in result.data.bad) == ["013.png", "050.png"]
    assert "2 broken files" in shown
    stored = json.loads((tmp_path / "run/result.json").read_text())["data"]["bad"]
    assert {Path(bad["name"]).name for bad in stored} == {"013.png", "050.png"}
    assert any("images stay on disk: as asked" in reason for reason in result.reasons) == (storage == "disk")
    assert any(reason.startswith("loading, one worker alone: read") for reason in result.reasons) == (storage == "disk")
    assert any(reason.startswith("workers decode: there is no") for reason in result.reasons) == (storage == "disk")
    held_out = [bad for bad in result.data.bad if bad.sample >= 160]
    assert result.evaluation.count == 40 - len(held_out)  # broken test files are counted nowhere


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_a_pipeline_augments_from_memory_and_from_disk(
    pictures: Path, tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    spec = tmp_path / "mine.json"
    spec.write_text(Pipeline([RandomResizedCrop(28, scale=(0.6, 1.0)), RandomHorizontalFlip()]).to_json())
    result, _ = run(config(pictures, storage=storage, augmentation=str(spec)), tmp_path / "run")
    assert result.evaluation.accuracy > 0.9
    assert any("augmentation RandomResizedCrop, RandomHorizontalFlip, Normalize" in why for why in result.reasons)


def test_a_misspelt_augmentation_is_refused_before_anything_is_made(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'imagenet'"):
        run(config(pictures, augmentation="imagnet"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_from_disk_the_same_seed_gives_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    asked = config(pictures, storage="disk", epochs=2)
    weights = []
    for name in ("one", "two"):
        run(asked, tmp_path / name)
        weights.append(read_checkpoint(tmp_path / name)[1])
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_a_set_that_does_not_fit_stays_on_disk(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_images, "MEMORY_SHARE", 1e-9)
    result, _ = run(config(pictures, epochs=1), tmp_path / "run")
    assert any("images stay on disk: they take" in reason for reason in result.reasons)


def test_too_many_broken_files_stop_the_run(pictures: Path, tmp_path: Path) -> None:
    for storage in ("memory", "disk"):
        with pytest.raises(DataError, match="above the share of 0"):
            run(config(pictures, storage=storage, max_bad=0.004), tmp_path / "run")
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_on_disk_or_decoded_there_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--decode gpu: this run is on cpu"):
        run(config(pictures, storage="disk", decode="gpu"), tmp_path / "run")
    with pytest.raises(ConfigError, match="--data bundled is no folder"):
        train(TrainConfig(storage="disk"), out=tmp_path / "run", roof=ROOF)
    with pytest.raises(ConfigError, match=r"--max-bad 1: it is a share"):
        TrainConfig(max_bad=1.0)
