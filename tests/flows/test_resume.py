"""A run that is stopped and resumed is the run that was not."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from rooflight.core.console import Silent
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.lock import hold
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.data.images import load_images
from rooflight.flows.prove_child import SAMPLES
from rooflight.flows.prove_compare import differences
from rooflight.flows.train import resume, train
from rooflight.train.checkpoint.folder import list_folders
from rooflight.train.loop import EpochBatches
from rooflight.train.sample_log import LoggedBatches
from tests.flows.conftest import ROOF


class CutError(Exception):
    """The run ends here."""


class CutBatches:
    """Batches that break off before the batch of a number, counted over all epochs."""

    def __init__(self, batches: EpochBatches, before: int) -> None:
        self.batches, self.left = batches, before

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def samples(self) -> int:
        return self.batches.samples

    def order(self, epoch: int) -> NDArray[np.int64]:
        return self.batches.order(epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        for pair in self.batches.epoch(epoch, start=start):
            if not self.left:
                raise CutError
            self.left -= 1
            yield pair


class Said(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def logged(batch: int, cut: int | None = None) -> Any:
    """What the batches of a run pass through."""

    def observe(batches: EpochBatches, run: Path) -> EpochBatches:
        log = LoggedBatches(batches, run / SAMPLES, batch=batch)
        return log if cut is None else CutBatches(log, cut)

    return observe


def cut_run(config: TrainConfig, out: Path, before: int) -> None:
    with pytest.raises(CutError):
        train(config, out=out, roof=ROOF, observe=logged(config.batch, before), compare=False)


@pytest.fixture(scope="module")
def config(small_data: Path) -> TrainConfig:
    return TrainConfig(
        data=str(small_data),
        epochs=2,
        batch=64,  # the last step of an epoch is smaller
        dtype="float32",
        device="cpu",
        checkpoint_every=3,
        ema=0.9,
        clip=1.0,
        validation=0.1,
        patience=5,
    )


@pytest.fixture(scope="module")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that is left alone: 15 steps in each of 2 epochs."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(config, out=run, roof=ROOF, observe=logged(config.batch), compare=False)
    return run


def assert_same(run: Path, whole: Path) -> None:
    found = differences(run, whole)
    assert {"weights", "optimizer state", "averages", "best weights", "sample log", "metrics"} <= set(found)
    assert not any(found.values()), found


@pytest.mark.parametrize("before", [4, 15, 17, 29])
def test_it_goes_on_to_the_same_bits(config: TrainConfig, whole: Path, tmp_path: Path, before: int) -> None:
    run, console = tmp_path / "run", Said()
    cut_run(config, run, before)
    resume(run, {}, roof=ROOF, console=console, observe=logged(config.batch), compare=False)
    place = 15 if before in (15, 17) else before // 3 * 3
    assert any(f"goes on from step {place}:" in line for line in console.lines)
    assert_same(run, whole)


def test_a_damaged_checkpoint_is_skipped_and_the_result_is_the_same(
    config: TrainConfig, whole: Path, tmp_path: Path
) -> None:
    run, console = tmp_path / "run", Said()
    cut_run(config, run, 11)
    newest, *_ = list_folders(run)
    (newest / "training.safetensors").write_bytes(b"")
    resume(run, {}, roof=ROOF, console=console, observe=logged(config.batch), compare=False)
    assert any("step-00000009 is skipped: training.safetensors has 0 bytes" in line for line in console.lines)
    assert any("goes on from step 6:" in line for line in console.lines)
    assert_same(run, whole)


def test_before_the_first_checkpoint_it_begins_anew(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cut_run(config, run, 9)
    shutil.rmtree(run / "checkpoints")  # as a kill before the first save would leave it
    resume(run, {}, roof=ROOF, observe=logged(config.batch), compare=False)
    assert_same(run, whole)


def test_records_are_cut_back_to_the_checkpoint(config: TrainConfig, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cut_run(replace(config, log_every=1), run, 20)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "step"')  # a line that a kill has cut
    resume(run, {}, roof=ROOF, compare=False)
    steps = [json.loads(line)["step"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [1, 2]


def test_a_finished_run_says_so_and_is_left_alone(whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    console = Said()
    found = resume(whole, {}, console=console).answer
    assert isinstance(found, TrainResult)
    assert console.lines == [f"{whole} is finished: this is what it found"]
    after = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert {path for path in after if path.name != ".lock"} == {path for path in before if path.name != ".lock"}
    assert all(after[path] == content for path, content in before.items() if path.name != ".lock")


@pytest.mark.parametrize(
    "given", [{"lr": 0.1}, {"epochs": 3}, {"batch": 32}, {"seed": 1}, {"model": "lstm"}, {"dtype": "bfloat16"}], ids=str
)
def test_what_would_train_something_else_is_refused(whole: Path, given: dict[str, Any]) -> None:
    name = next(iter(given))
    with pytest.raises(ConfigError, match=rf"--{name} .* is trained with .* another run"):
        resume(whole, given)


def test_a_run_in_use_is_left_alone(config: TrainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cut_run(config, run, 5)
    before = sorted(path.name for path in run.iterdir())
    with hold(run), pytest.raises(ConfigError, match=rf"is in use by process {os.getpid()} on"):
        resume(run, {}, roof=ROOF)
    assert sorted(path.name for path in run.iterdir()) == before


def test_other_data_is_refused(config: TrainConfig, small_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    arrays = dict(np.load(small_data))
    np.savez(data, **arrays)
    run = tmp_path / "run"
    cut_run(replace(config, data=str(data)), run, 5)
    arrays["y_train"][0] = (arrays["y_train"][0] + 1) % 10
    np.savez(data, **arrays)
    with pytest.raises(ConfigError, match=r"was trained on data of sha256 .* Try the data of before"):
        resume(run, {}, roof=ROOF)


def test_no_whole_checkpoint_is_said(config: TrainConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cut_run(config, run, 8)
    for folder in list_folders(run):
        (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="no whole checkpoint: 2 found"):
        resume(run, {}, roof=ROOF)


@pytest.mark.parametrize(("make", "sentence"), [(False, "no such run folder"), (True, "config.json is missing")])
def test_no_run_is_said(tmp_path: Path, make: bool, sentence: str) -> None:
    if make:
        (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError, match=sentence):
        resume(tmp_path / "run", {})


def test_a_folder_that_may_not_be_written_is_said(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    cut_run(config, run, 5)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ConfigError, match="nothing may be written there"):
        resume(run, {}, roof=ROOF)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in class folders, for the loader from disk."""
    place = tmp_path_factory.mktemp("folder")
    images = load_images("bundled", channels=1, height=28, width=28)
    for part, pixels, labels, count in (
        ("train", images.train_images, images.train_labels, 150),
        ("test", images.test_images, images.test_labels, 40),
    ):
        for index in range(count):
            path = place / part / str(int(labels[index])) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[index, 0].numpy()).save(path)
    return place


def test_another_number_of_workers_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=str(folder),
        storage="disk",
        workers=2,
        epochs=2,
        batch=16,
        dtype="float32",
        device="cpu",
        checkpoint_every=2,
        max_bad=0.0,
    )
    whole, run = tmp_path / "whole", tmp_path / "run"
    train(config, out=whole, roof=ROOF, observe=logged(16), compare=False)
    cut_run(config, run, 5)
    resume(run, {"workers": 0}, roof=ROOF, observe=logged(16), compare=False)
    found = differences(run, whole)
    assert not any(found.values()), found


def test_a_sample_log_goes_on_behind_a_line_that_was_cut(tmp_path: Path) -> None:
    class Two:
        samples = 4

        def __len__(self) -> int:
            return 2

        def order(self, epoch: int) -> NDArray[np.int64]:
            return np.arange(4)

        def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
            yield torch.zeros(2), torch.zeros(2)

    path = tmp_path / SAMPLES
    path.write_bytes(b'{"epoch": 1, "sam')
    list(LoggedBatches(Two(), path, batch=2).epoch(1, start=2))
    first, second = path.read_text().splitlines()
    assert first == '{"epoch": 1, "sam'
    assert json.loads(second)["ids"] == [2, 3]
