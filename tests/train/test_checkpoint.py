"""Checkpoints are whole or refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import Checkpoint, Preprocessing
from rooflight.core.training import TrainConfig
from rooflight.train.checkpoint import DOCUMENT, load_weights, read_checkpoint, save_checkpoint
from rooflight.train.layout import prepare

SHAPE = Preprocessing(channels=1, height=28, width=28, mean=(0.5,), std=(0.25,))


def saved(run: Path, epoch: int = 1) -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    model, _ = prepare(network, torch.device("cpu"), torch.float32)
    save_checkpoint(
        model.state_dict(),
        run,
        config=TrainConfig(),
        classes=("a", "b"),
        preprocessing=SHAPE,
        text=None,
        epoch=epoch,
        parameters=88,
    )
    return model


def test_weights_come_back_to_the_bit(tmp_path: Path) -> None:
    model = saved(tmp_path)
    checkpoint, state = read_checkpoint(tmp_path)
    assert (checkpoint.classes, checkpoint.preprocessing, checkpoint.epoch) == (("a", "b"), SHAPE, 1)
    fresh = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    load_weights(fresh, state, source=tmp_path)
    for ours, theirs in zip(model.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_only_the_last_is_kept(tmp_path: Path) -> None:
    saved(tmp_path, epoch=1)
    saved(tmp_path, epoch=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["epoch-0002.safetensors", "last.json"]


def test_a_crash_while_saving_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, epoch=1)

    def full(path: Path, content: object) -> None:
        if path.name == "last.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(b"half")

    monkeypatch.setattr("rooflight.train.checkpoint.write_file", full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path, epoch=2)
    assert read_checkpoint(tmp_path)[0].epoch == 1


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    weights = tmp_path / "checkpoints/epoch-0001.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DataError, match="missing or damaged"):
        read_checkpoint(tmp_path)


def test_a_path_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    saved(tmp_path / "run")
    document = tmp_path / "run" / DOCUMENT
    checkpoint = from_json(Checkpoint, document.read_text())
    (tmp_path / "run/checkpoints" / checkpoint.weights).rename(tmp_path / "run/other")
    document.write_text(to_json(checkpoint).replace(checkpoint.weights, "../other"))
    with pytest.raises(DataError, match="missing or damaged"):
        read_checkpoint(tmp_path / "run")


@pytest.mark.parametrize(("make", "sentence"), [(False, "no such run folder"), (True, "holds no finished checkpoint")])
def test_no_run_is_said(tmp_path: Path, make: bool, sentence: str) -> None:
    run = tmp_path / "run"
    if make:
        run.mkdir()
    with pytest.raises(ConfigError, match=sentence):
        read_checkpoint(run)


def test_weights_of_another_model_are_said(tmp_path: Path) -> None:
    saved(tmp_path)
    _, state = read_checkpoint(tmp_path)
    with pytest.raises(DataError, match="do not fit the model"):
        load_weights(nn.Linear(2, 2), state, source=tmp_path)
