"""A user's own model from a file: trained, used, exported, and refused in one sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from rooflight.core.errors import ConfigError, DataError, RooflightError
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.flows.checkpoint import load_run
from rooflight.flows.export import export
from rooflight.flows.predict import predict
from rooflight.flows.predict_arrays import ArrayPredictions
from rooflight.flows.prove_compare import differences
from rooflight.flows.train import resume, train
from tests.flows.test_resume import CutError, logged

IMAGES = """
from beside import WIDTH
from torch import nn
INPUT_SHAPE = (1, 28, 28)
MEAN, STD = (0.5,), (0.25,)
def build(classes):
    print("a build may talk")
    return nn.Sequential(nn.Conv2d(1, WIDTH, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
                         nn.Linear(36 * WIDTH, classes))
"""
ROWS = """
from torch import nn
INPUT_SHAPE, INPUT_DTYPE = (6,), "float32"
def build(): return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
def three(): return nn.Linear(6, 3)
def leaves(): raise SystemExit(3)
def frozen(): return nn.Linear(6, 1).requires_grad_(False)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(IMAGES)
    (tmp_path / "beside.py").write_text("WIDTH = 8")
    (tmp_path / "rows.py").write_text(ROWS)
    x = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    np.savez(tmp_path / "values.npz", x=x, y=x.sum(1))
    np.savez(tmp_path / "sides.npz", x=x, y=(x.sum(1) > 0).astype(np.int64))
    return tmp_path


def config(folder: Path, model: str, data: Path, **more: object) -> TrainConfig:
    settings = {"epochs": 1, "dtype": "float32", "device": "cpu", **more}
    return TrainConfig(model=f"{folder}/{model}", data=str(data), **settings)  # type: ignore[arg-type]


def run_of(result: object) -> TrainResult:
    assert isinstance(result, TrainResult)
    return result


def test_a_file_of_images_trains_and_its_run_depends_on_the_copy(folder: Path, small_data: Path) -> None:
    run = folder / "run"
    result = run_of(train(config(folder, "net.py:build", small_data, epochs=3, lr=0.01), out=run, compare=False).answer)
    assert result.evaluation.accuracy is not None
    assert result.evaluation.accuracy > 0.4  # guessing gives 0.1
    assert result.preprocessing is not None
    assert (result.preprocessing.mean, result.preprocessing.std) == ((0.5,), (0.25,))
    (folder / "net.py").write_text("raise ValueError")  # the user goes on working
    model, checkpoint = load_run(run, torch.device("cpu"))
    assert model[0].out_channels == 8  # type: ignore[index, union-attr]
    assert checkpoint.own is not None
    with (run / "model.py").open("a") as file:
        file.write("# changed")
    with pytest.raises(DataError, match="no longer the file that was trained"):
        load_run(run, torch.device("cpu"))


def test_values_are_predicted_and_exported(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    run = folder / "run"
    result = run_of(train(config(folder, "rows.py:build", folder / "values.npz"), out=run, compare=False).answer)
    assert result.evaluation.accuracy is None
    assert result.evaluation.confusion == ()
    answer = predict(run, [folder / "values.npz"], device="cpu").answer
    assert isinstance(answer, ArrayPredictions)
    assert len(answer.values) == 300
    assert export(run).exit_code == 0


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        ("rows.py:three", "sides.npz", "gives 3 scores, the data has 2 classes"),
        ("rows.py:leaves", "values.npz", "ends the process"),
        ("rows.py:frozen", "values.npz", "no parameter that is trained"),
        ("rows.py:bild", "values.npz", "Did you mean 'build'"),
        ("rows.py:build", "nowhere.npz", "no such file"),
        ("rows.py:build", ".", "takes no images"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_folder(folder: Path, model: str, data: str, words: str) -> None:
    with pytest.raises(RooflightError, match=words):
        train(config(folder, model, folder / data), out=folder / "run", compare=False)
    assert not (folder / "run").exists()


def test_a_run_that_was_handed_over_has_no_file(folder: Path) -> None:
    import rooflight

    run = folder / "run"
    rows = torch.randn(50, 6)
    rooflight.fit(torch.nn.Linear(6, 1), (rows, rows.sum(1)), out=run, progress=False, epochs=1, device="cpu")
    with pytest.raises(ConfigError, match="handed over in Python"):
        load_run(run, torch.device("cpu"))


def cut_run(settings: TrainConfig, run: Path, before: int) -> None:
    with pytest.raises(CutError):
        train(settings, out=run, observe=logged(settings.batch, before), compare=False)


def test_a_resume_builds_from_the_copy_in_the_run_folder(folder: Path, small_data: Path) -> None:
    settings = config(folder, "net.py:build", small_data, batch=64, checkpoint_every=3)
    train(settings, out=folder / "whole", observe=logged(64), compare=False)
    cut_run(settings, folder / "run", 7)
    (folder / "net.py").unlink()
    result = run_of(resume(folder / "run", {}, observe=logged(64), compare=False).answer)
    assert result.config.model == settings.model  # still under its own name
    assert not any(differences(folder / "run", folder / "whole").values())
    assert (
        load_run(folder / "run", torch.device("cpu"))[1].own == load_run(folder / "whole", torch.device("cpu"))[1].own
    )


def test_a_resume_from_a_changed_copy_is_refused(folder: Path, small_data: Path) -> None:
    run = folder / "run"
    cut_run(config(folder, "net.py:build", small_data, batch=64, checkpoint_every=3), run, 7)
    with (run / "model.py").open("a") as file:
        file.write("# changed")
    with pytest.raises(DataError, match="no longer the file that was trained"):
        resume(run, {}, compare=False)


def test_a_run_without_a_checkpoint_begins_anew_with_the_file_as_it_is(folder: Path, small_data: Path) -> None:
    run = folder / "run"
    cut_run(config(folder, "net.py:build", small_data, batch=64, checkpoint_every=3), run, 7)
    shutil.rmtree(run / "checkpoints")  # as a kill before the first save would leave it
    with (folder / "net.py").open("a") as file:
        file.write("# changed")
    resume(run, {}, compare=False)
    load_run(run, torch.device("cpu"))
    assert (run / "model.py").read_bytes() == (folder / "net.py").read_bytes()


def test_a_build_that_raises_is_one_sentence_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("INPUT_SHAPE = (1, 28, 28)\n\ndef build():\n    raise ValueError('boom')\n")
    with pytest.raises(ConfigError, match=r"net\.py:build raises ValueError: boom \(net\.py, line 4\)"):
        train(TrainConfig(model=f"{file}:build"), out=tmp_path / "run")
