"""Training end to end."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from rooflight.core.codec import from_json
from rooflight.core.errors import ConfigError, ResourceError, RooflightError
from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.tables import text
from rooflight.core.training import TrainConfig
from rooflight.flows.checkpoint import read_result
from rooflight.flows.setting import pick_flip
from rooflight.flows.train import train
from rooflight.train.checkpoint.read import read_checkpoint
from tests.flows.conftest import ROOF


def test_the_run_folder_holds_what_the_documentation_says(trained: TrainResult) -> None:
    run = Path(trained.run)
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "metrics.jsonl", "checkpoints", "result.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert from_json(TrainConfig, (run / "config.json").read_text()) == trained.config
    assert read_result(run) == trained
    records = [from_json(EpochRecord, line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert tuple(records) == trained.epochs
    assert not [name for name in names if name.endswith(".partial")]


def test_the_stored_configuration_is_resolved(trained: TrainResult) -> None:
    assert (trained.config.device, trained.config.dtype, trained.config.flip) == ("cpu", "float32", True)


def test_it_learned_from_real_images(trained: TrainResult) -> None:
    assert trained.evaluation.accuracy > 0.5  # guessing gives 0.1
    assert trained.evaluation.count == 500
    assert sum(map(sum, trained.evaluation.confusion)) == 500
    assert trained.evaluation.accuracy == trained.epochs[-1].test_accuracy
    assert trained.parameters == 93_322
    assert (trained.data.train_count, trained.data.test_count) == (1000, 500)


def test_predicted_stands_beside_measured(trained: TrainResult) -> None:
    step, memory = trained.comparisons
    assert (step.name, step.measured) == ("step time", trained.step_seconds)
    assert step.error == pytest.approx((step.predicted - step.measured) / step.measured)
    # A trace is of plain tensors. oneDNN's own layout, which float32 trains in on a CPU, keeps no int64 pool indices.
    assert 0 <= memory.error < 0.1


def test_predicted_memory_is_what_the_allocator_hands_out(trained: TrainResult, tmp_path: Path) -> None:
    config = replace(trained.config, dtype="bfloat16", epochs=1)
    result = train(config, out=tmp_path / "run", roof=ROOF).answer
    assert isinstance(result, TrainResult)
    assert abs(result.comparisons[1].error) < 0.01


def test_the_same_seed_gives_the_same_weights(trained: TrainResult, tmp_path: Path) -> None:
    again = train(replace(trained.config), out=tmp_path / "again", roof=ROOF).answer
    assert isinstance(again, TrainResult)
    weights = [
        safetensors.torch.load_file(Path(run) / "checkpoints/step-00000060/model.safetensors")
        for run in (trained.run, again.run)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert again.evaluation == trained.evaluation


def test_the_report_is_for_people(trained: TrainResult, tmp_path: Path) -> None:
    shown = text(train(replace(trained.config, epochs=1), out=tmp_path / "run", roof=ROOF))
    assert "held-out images" in shown
    assert "predicted against measured" in shown


@pytest.mark.parametrize(
    "changed",
    [
        {"data": "no/such/folder"},
        {"model": "cmn"},
        {"device": "cuda:7"},
        {"data_dir": "no/such/folder", "data": "mnist"},
    ],
    ids=str,
)
def test_what_cannot_start_leaves_no_folder(trained: TrainResult, tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(RooflightError):
        train(replace(trained.config, **changed), out=tmp_path / "a/run", roof=ROOF)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_not_written_over(trained: TrainResult) -> None:
    before = (Path(trained.run) / "result.json").read_bytes()
    with pytest.raises(ConfigError, match="not an empty folder"):
        train(trained.config, out=Path(trained.run), roof=ROOF)
    assert (Path(trained.run) / "result.json").read_bytes() == before


def test_a_loss_that_explodes_leaves_nothing(trained: TrainResult, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lower --lr"):
        train(replace(trained.config, lr=1e38, epochs=1), out=tmp_path / "run", roof=ROOF)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_after_an_epoch_keeps_its_checkpoint(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rooflight.train.events import EventWriter

    def stop(self: EventWriter, step: int, values: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EventWriter, "scalars", stop)
    with pytest.raises(KeyboardInterrupt):
        train(trained.config, out=tmp_path / "run", roof=ROOF)
    assert read_checkpoint(tmp_path / "run")[0].epoch == 1


def test_a_full_disk_is_said_and_leaves_nothing(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooflight.train.checkpoint.write.write_tensors", no_space)
    with pytest.raises(ResourceError, match=r"step 60 could not be saved: No space left.* Free some space"):
        train(trained.config, out=tmp_path / "run", roof=ROOF)
    assert list(tmp_path.iterdir()) == []


def no_space(tensors: object, path: Path) -> None:
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_digits_are_not_mirrored() -> None:
    assert pick_flip(None, tuple("0123456789")) == (False, "the classes are digits, or have no names")
    assert pick_flip(None, ("Coat", "Bag"))[0] is True
    assert pick_flip(False, ("Coat", "Bag")) == (False, "as asked")
