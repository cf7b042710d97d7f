"""`train --profile` end to end: two runs whose answer is known beforehand."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from rooflight.cli.main import run as command
from rooflight.core.codec import from_json, to_json
from rooflight.core.profiles import StepProfile
from rooflight.core.tables import text
from rooflight.core.training import TrainConfig
from rooflight.flows import profile as flow
from rooflight.flows import profile_run
from rooflight.flows.family import Family, Found, TrainData
from rooflight.flows.profile import profile_train
from rooflight.flows.setting import Setting
from rooflight.flows.train_images import IMAGES
from tests.flows.conftest import ROOF


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_run, "SECONDS", 0.1)


class Slow:
    """Batches that take 100 ms each, as from a slow disk with one worker."""

    workers = 1

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def epoch(self, epoch: int) -> Iterator[tuple[Any, Tensor]]:
        for batch in self.inner.epoch(epoch):
            time.sleep(0.1)
            yield batch


def starved(config: TrainConfig) -> Family:
    def prepare(found: Found, config: TrainConfig, setting: Setting) -> TrainData:
        data = IMAGES.prepare(found, config, setting)
        return replace(data, batches=Slow(data.batches))  # type: ignore[arg-type]

    return replace(IMAGES, prepare=prepare)


def profiled(config: TrainConfig) -> tuple[StepProfile, str]:
    report = profile_train(config, roof=ROOF)
    assert isinstance(report.answer, StepProfile)
    return report.answer, text(report)


def config(data: Path, **changed: Any) -> TrainConfig:
    return TrainConfig(**({"data": str(data), "batch": 16, "dtype": "float32", "device": "cpu"} | changed))


def test_a_starved_run_is_told_to_load_faster(small_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "family_of", starved)
    found, shown = profiled(config(small_data))
    assert found.limited_by == "data"
    assert found.data_seconds > 0.09
    assert "most of it waits for data" in shown
    first = found.changes[0]
    assert first.flags in ("--storage memory", "--workers 2", f"--workers {flow_cores()}")
    assert first.predicted_gain == pytest.approx(found.whole_seconds / found.step_seconds)


def flow_cores() -> int:
    from rooflight.hardware.detect import detect

    return detect().cpu.logical_cores


def test_a_run_of_large_convolutions_is_in_its_convolutions(small_data: Path) -> None:
    found, shown = profiled(config(small_data, batch=250))
    assert found.operators[0].name == "convolution"
    assert found.limited_by == "compute"
    assert "convolution takes" in shown
    parts = found.data_seconds + found.launch_seconds + sum(part.seconds for part in found.operators)
    assert parts == pytest.approx(found.whole_seconds)
    assert found.samples_per_second == pytest.approx(250 / found.whole_seconds)
    assert from_json(StepProfile, to_json(found)) == found


def test_the_command_prints_the_profile_alone(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flow, "find_roof", lambda *arguments, **options: ROOF)
    monkeypatch.chdir(tmp_path)
    flags = ["--data", str(small_data), "--batch", "50", "--dtype", "float32", "--device", "cpu", "--json"]
    assert command(["train", "cnn", "--profile", *flags]) == 0
    answer = from_json(StepProfile, capsys.readouterr().out)
    assert answer.batch == 50
    assert list(tmp_path.iterdir()) == []  # it keeps nothing


def test_a_profile_has_no_run_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", "cnn", "--profile", "--out", "somewhere"]) == 2
    assert "leave out --out" in capsys.readouterr().err


def test_transfer_learning_has_no_steps_worth_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", "transfer:vgg16", "--profile"]) == 2
    assert "frozen base runs once" in capsys.readouterr().err
