"""A trained run in use: predict, export, report."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rooflight.core.codec import to_json
from rooflight.core.errors import ConfigError, DataError, RooflightError
from rooflight.core.plans import PlanConfig
from rooflight.core.runs import TrainResult
from rooflight.flows import calibration
from rooflight.flows.export import Exported, export
from rooflight.flows.plan import plan
from rooflight.flows.predict import Predictions, predict
from rooflight.flows.report import Page, report
from tests.flows.conftest import ROOF


@pytest.fixture
def pictures(small_data: Path, tmp_path: Path) -> Path:
    """The 500 test images as PNG files named after number and class."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    with np.load(small_data) as data:
        for index, (pixels, label) in enumerate(zip(data["x_test"], data["y_test"], strict=True)):
            Image.fromarray(pixels).save(folder / f"{index:03d}-{label}.png")
    return folder


def test_served_pixels_are_trained_pixels(trained: TrainResult, pictures: Path) -> None:
    """The accuracy of predict on the test pictures, as files, is the accuracy that training reported."""
    answer = predict(Path(trained.run), [pictures], device="cpu").answer
    assert isinstance(answer, Predictions)
    classes = trained.data.classes
    right = sum(classes[int(Path(row.input).stem[4:])] == row.label for row in answer.predictions)
    assert len(answer.predictions) == 500
    assert right / 500 == trained.evaluation.accuracy


def test_probabilities_add_up_and_are_in_order(trained: TrainResult, pictures: Path) -> None:
    answer = predict(Path(trained.run), [pictures / "000-0.png"], top=99, device="cpu").answer
    assert isinstance(answer, Predictions)
    (row,) = answer.predictions
    shares = [share for _, share in row.top]
    assert sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    assert row.top[0] == (row.label, row.probability)
    assert len(row.top) == 10


def test_another_size_and_colour_is_brought_to_the_models(trained: TrainResult, pictures: Path) -> None:
    with Image.open(pictures / "000-0.png") as original:
        large = original.convert("RGB").resize((280, 280), Image.Resampling.NEAREST)
    large.save(pictures / "large.png")
    answer = predict(Path(trained.run), [pictures / "000-0.png", pictures / "large.png"], device="cpu").answer
    assert isinstance(answer, Predictions)
    first, second = answer.predictions
    assert first.label == second.label


def test_bad_inputs_are_said(trained: TrainResult, tmp_path: Path) -> None:
    run = Path(trained.run)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
        predict(run, [tmp_path / "bad.png"], device="cpu")
    (tmp_path / "void.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"void\.jpg cannot be decoded \(empty file\)"):
        predict(run, [tmp_path / "void.jpg"], device="cpu")
    with pytest.raises(DataError, match="none of 2 files can be decoded; the first: "):
        predict(run, [tmp_path], batch=1, device="cpu")
    with pytest.raises(ConfigError, match="no such file"):
        predict(run, [tmp_path / "none.png"], device="cpu")
    with pytest.raises(ConfigError, match="no image was given"):
        predict(run, [], device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no image"):
        predict(run, [tmp_path / "empty"], device="cpu")
    with pytest.raises(ConfigError, match="no such run folder"):
        predict(tmp_path / "none", [tmp_path / "bad.png"], device="cpu")
    with pytest.raises(ConfigError, match="--top 0"):
        predict(run, [tmp_path / "bad.png"], top=0, device="cpu")


@pytest.mark.parametrize("batch", [1, 256])
def test_broken_files_of_a_folder_are_skipped_and_listed(trained: TrainResult, pictures: Path, batch: int) -> None:
    for file in sorted(pictures.iterdir())[5:]:
        file.unlink()
    whole = predict(Path(trained.run), [pictures], device="cpu").answer
    (pictures / "001-cut.png").write_bytes((pictures / "000-0.png").read_bytes()[:60])
    (pictures / "void.jpg").write_bytes(b"")
    done = predict(Path(trained.run), [pictures], batch=batch, device="cpu")
    assert isinstance(whole, Predictions)
    assert isinstance(done.answer, Predictions)
    assert [row.input for row in done.answer.predictions] == [row.input for row in whole.predictions]
    assert [row.label for row in done.answer.predictions] == [row.label for row in whole.predictions]
    assert [Path(row.input).name for row in done.answer.skipped] == ["001-cut.png", "void.jpg"]
    assert done.tables[1].rows[1][1] == "cannot be decoded (empty file). Try replacing or removing it."
    assert done.exit_code == 0


@pytest.mark.parametrize("target", ["onnx", "torch-export"])
def test_export_agrees_at_three_batches_on_real_images(trained: TrainResult, tmp_path: Path, target: str) -> None:
    done = export(Path(trained.run), to=target, out=tmp_path / target)  # type: ignore[arg-type]
    assert isinstance(done.answer, Exported)
    artifact = done.answer.artifact
    assert done.exit_code == 0
    assert [row.batch for row in artifact.parity] == [1, 3, 64]
    assert all(row.agrees for row in artifact.parity)
    assert done.answer.samples == "64 test images of small.npz"
    assert sorted(path.name for path in (tmp_path / target).iterdir()) == ["artifact.json", Path(artifact.path).name]


def test_export_without_the_data_says_so_and_goes_on(trained: TrainResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    document = run / "result.json"
    document.write_text(document.read_text().replace(trained.config.data, "/no/longer/there.npz"))
    done = export(run, to="torch-export")
    assert isinstance(done.answer, Exported)
    assert done.answer.samples == "seeded random inputs"
    assert done.exit_code == 0


def test_report_shows_run_and_exports(trained: TrainResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    export(run, to="torch-export")
    page = report(run).answer
    assert isinstance(page, Page)
    content = Path(page.path).read_text()
    assert "Ankle boot" in content
    assert "torch-export" in content
    assert f"{trained.evaluation.accuracy * 100:.1f}" in content
    with pytest.raises(ConfigError, match="holds no finished run"):
        report(tmp_path)


def test_a_plan_of_no_time_has_no_page(tmp_path: Path) -> None:
    made = to_json(plan(PlanConfig(gpu=("H100 SXM5 80GB",))).answer)
    document = tmp_path / "plan.json"
    document.write_text(re.sub(r'"step_seconds": [^,]+', '"step_seconds": 0', made))
    with pytest.raises(ConfigError, match="holds a step of no time"):
        report(document)


def rewrite(document: Path, content: bytes) -> None:
    """Replace a checkpoint's document, and its sum in the manifest."""
    document.write_bytes(content)
    file = document.with_name("manifest.json")
    manifest = json.loads(file.read_text())
    manifest["files"][document.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    file.write_text(json.dumps(manifest))


def test_a_checkpoint_that_was_tampered_with_is_refused(trained: TrainResult, tmp_path: Path, pictures: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    document = next((run / "checkpoints").glob("*/checkpoint.json"))
    shutil.rmtree(next(folder for folder in document.parent.parent.glob("step-*") if folder != document.parent))
    whole = json.loads(document.read_text())
    for changed in (
        {"mean": [0.9]},
        {"pipeline": None},
        {"std": [0.0]},
        {"std": [-1.0]},
        {"mean": []},
        {"channels": 3},
        {"height": 14},
        {"height": 0},
    ):
        rewrite(document, json.dumps({**whole, "preprocessing": {**whole["preprocessing"], **changed}}).encode())
        with pytest.raises(RooflightError):
            predict(run, [pictures / "000-0.png"], device="cpu")
    rewrite(document, b"\xff\xfe")
    with pytest.raises(DataError, match="utf-8"):
        predict(run, [pictures / "000-0.png"], device="cpu")


def test_predict_stands_beside_its_prediction_where_there_is_a_calibration(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "a.png"
    Image.new("L", (28, 28), 128).save(picture)
    monkeypatch.setattr(calibration, "calibrated_roof", lambda *arguments: (ROOF, "round figures"))
    told = predict(Path(trained.run), (picture,), device="cpu")
    assert isinstance(told.answer, Predictions)
    (row,) = told.answer.comparisons
    assert row.measured > 0 < row.predicted
    assert row.error == pytest.approx((row.predicted - row.measured) / row.measured)
    monkeypatch.setattr(calibration, "calibrated_roof", lambda *arguments: (None, "none was made"))
    told = predict(Path(trained.run), (picture,), device="cpu")
    assert isinstance(told.answer, Predictions)
    assert told.answer.comparisons == ()
    assert "none was made" in told.notes[0]
