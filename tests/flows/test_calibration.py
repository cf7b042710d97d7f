"""`bench calibrate`: what it writes, when it is used, and what is said when it is not."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rooflight.cli.main import run
from rooflight.core.codec import from_json, to_json
from rooflight.core.roofs import Calibration, OperatorRate
from rooflight.core.types import Environment, GpuSpec, TimedKernels
from rooflight.flows import calibrate as calibrate_flow
from rooflight.flows import roof as roof_flow
from rooflight.flows.calibrate import class_rates
from rooflight.flows.calibration import calibrated_roof
from rooflight.hardware.detect import detect
from tests.flows.conftest import ROOF, measured


def row(kind: str, rate: float, dtype: str = "float32") -> OperatorRate:
    return OperatorRate(
        operator=kind,
        size=f"{rate:g}",
        variant=dtype,
        device="here",
        dtype=dtype,
        measured=measured(kind, "s", 1.0),
        speedup=1.0,
        flops=1,
        bytes=1,
        flops_per_second=rate,
        bytes_per_second=1.0,
        bound_by="compute",
        share=0.5,
    )


def test_a_class_joins_the_roof_where_its_sizes_agree() -> None:
    rows = [
        row("matmul", 90.0),
        row("matmul", 100.0),
        row("matmul", 110.0),
        row("attention", 30.0),
        row("attention", 90.0),
    ]
    kinds: Mapping[tuple[str, str], str] = {(each.operator, each.size): each.operator for each in rows}
    rates, notes = class_rates(rows, kinds)
    assert rates == {"matmul": {"float32": 100.0}}
    assert notes[0] == "matmul float32: 3 sizes within 10.0 % of 100 FLOP/s"
    assert "attention float32" in notes[1]
    assert "too far apart" in notes[1]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.getloadavg", lambda: (0.1, 0.1, 0.1))
    return tmp_path


@pytest.fixture
def calibrated(round_figures: None, cache: Path) -> Path:
    """The file that `bench calibrate` writes."""
    calibrate_flow.calibrate(device="cpu")
    (path,) = cache.glob("rooflight/calibration/*.json")
    return path


def test_calibrate_then_plan_says_so_with_its_date(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    date = from_json(Calibration, calibrated.read_text()).environment.date[:10]
    assert run(["plan", "--device", "cpu", "--dtype", "float32", "--json"]) == 0
    said = capsys.readouterr()
    assert f"roof: calibration of {date} ({calibrated})" in said.err.replace("\n", "")
    assert json.loads(said.out)["roof"]["source"].startswith(
        f"calibrated on {date}, {calibrated}: made up for the tests"
    )
    assert any(f"calibrated on {date}" in line for line in json.loads(said.out)["estimates"][0]["assumptions"])


def test_a_busy_machine_is_not_calibrated_unless_forced(
    round_figures: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (500.0, 500.0, 500.0))
    report = calibrate_flow.calibrate(device="cpu")
    assert report.exit_code == 1
    assert report.notes[-1].startswith("not written, as the rates may be far too low: the machine is busy (load 500.0")
    assert list(cache.glob("rooflight/calibration/*.json")) == []
    assert calibrate_flow.calibrate(device="cpu", force=True).exit_code == 0
    (path,) = cache.glob("rooflight/calibration/*.json")
    assert any("the machine is busy" in note for note in from_json(Calibration, path.read_text()).notes)


def test_an_unsteady_measurement_is_not_kept(round_figures: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = roof_flow.measured_roof

    def shaken(*arguments: Any) -> GpuSpec:
        arguments[-1](replace(measured("matmul float32 512×512×512", "FLOP/s", 1e9), low=5e8))
        return quiet(*arguments)

    monkeypatch.setattr(roof_flow, "measured_roof", shaken)
    report = calibrate_flow.calibrate(device="cpu")
    assert report.exit_code == 1
    assert "unsteady, the device was not idle: matmul float32 512×512×512" in report.notes[-1]
    assert list(cache.glob("rooflight/calibration/*.json")) == []


def test_a_share_above_one_says_that_the_roof_is_too_low() -> None:
    (note,) = roof_flow.too_low("an MFU", [None, 0.5, 27.0])
    assert note.startswith("! an MFU of 2700 % cannot be: the roof was measured on a busy machine, or is too low.")
    assert roof_flow.too_low("an MFU", [None, 0.5, 1.0]) == roof_flow.too_low("an MFU", []) == ()


def test_a_calibration_can_be_left_aside(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--device", "cpu", "--dtype", "float32", "--calibration", "none", "--json"]) == 0
    said = capsys.readouterr()
    assert "roof: no calibration, as asked; measuring" in said.err
    assert json.loads(said.out)["roof"]["source"] == ROOF.source


def change(path: Path, **changes: Any) -> None:
    path.write_text(to_json(replace(from_json(Calibration, path.read_text()), **changes)))


def environment_of(path: Path) -> Environment:
    return from_json(Calibration, path.read_text()).environment


def roof_of(path: Path) -> GpuSpec:
    return from_json(Calibration, path.read_text()).roof


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: change(path, device="another CPU"), "it is of another CPU, this is"),
        (lambda path: change(path, torch_version="1.0"), "it was made with torch 1.0, this is"),
        (
            lambda path: change(path, environment=replace(environment_of(path), threads=99)),
            "it was made with 99 threads, these are",
        ),
        (
            lambda path: change(path, roof=replace(roof_of(path), memory_bytes=1 << 20)),
            "with 1.00 MiB of memory",
        ),
        (
            lambda path: change(path, roof=replace(roof_of(path), flops_per_second={"float64": 1e9})),
            "it has no float32",
        ),
        (
            lambda path: change(path, roof=replace(roof_of(path), flops_per_second={"float32": 0.0})),
            "products float32 at 0 FLOP/s cannot be",
        ),
        (
            lambda path: change(
                path, roof=replace(roof_of(path), kind_flops_per_second={"convolution": {"float32": -1e9}})
            ),
            "convolution float32 at -1e+09 FLOP/s cannot be",
        ),
        (
            lambda path: change(path, roof=replace(roof_of(path), bytes_per_second=1e18)),
            "memory at 1e+18 B/s cannot be",
        ),
        (
            lambda path: change(path, roof=replace(roof_of(path), launch_seconds=-1.0)),
            "issue one operator at -1 s cannot be",
        ),
        (lambda path: path.write_text(path.read_text()[:100]), "cannot be read"),
        (lambda path: path.write_text(path.read_text().replace('"roof"', '"rooof"')), "no key 'rooof'"),
        (lambda path: path.rename(path.with_name(path.name.replace("torch-", "torch-0-"))), "of another version"),
        (lambda path: path.unlink(), "no calibration of"),
    ],
    ids=[
        "foreign",
        "stale",
        "threads",
        "memory",
        "dtype",
        "zero",
        "negative kind",
        "too fast",
        "launch",
        "cut",
        "wrong key",
        "other version",
        "missing",
    ],
)
def test_a_calibration_that_does_not_fit_is_not_used_and_the_sentence_says_why(
    calibrated: Path, spoil: Any, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(calibrated)
    assert run(["plan", "--device", "cpu", "--dtype", "float32", "--json"]) == 0
    said = capsys.readouterr()
    assert why in said.err.replace("\n", "")
    assert json.loads(said.out)["roof"]["source"] == ROOF.source


@pytest.mark.parametrize(("error", "used"), [(0.39, True), (0.41, False)])
def test_timed_operators_that_tell_held_out_steps_badly_are_not_used(
    calibrated: Path, error: float, used: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    timed = TimedKernels(kernels=(), networks=4, median_error=error, low=0.5, high=2.0)
    change(calibrated, timed=timed)
    assert run(["plan", "--device", "cpu", "--dtype", "float32", "--json"]) == 0
    said = capsys.readouterr()
    assert ("41.0 % off (median)" in said.err.replace("\n", " ")) is not used
    assert json.loads(said.out)["roof"]["source"].startswith("calibrated on")
    roof, _ = calibrated_roof(torch.device("cpu"), detect(), ("float32",), calibrated)
    assert roof is not None
    assert roof.timed == (timed if used else None)


def test_a_file_that_the_user_names_must_fit(calibrated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["plan", "--device", "cpu", "--dtype", "float32", "--calibration"]
    assert run([*plan, str(calibrated)]) == 0
    change(calibrated, device="another CPU")
    assert run([*plan, str(calibrated)]) == 2
    assert "does not fit: it is of another CPU" in capsys.readouterr().err.replace("\n", "")
    assert run([*plan, str(calibrated.with_name("none.json"))]) == 2
    assert run([*plan, str(calibrated.parent)]) == 2


def test_another_file_is_written_where_it_is_asked_for(round_figures: None, cache: Path, tmp_path: Path) -> None:
    report = calibrate_flow.calibrate(device="cpu", out=tmp_path / "mine.json")
    assert from_json(Calibration, (tmp_path / "mine.json").read_text()) == report.answer
    assert list(cache.glob("rooflight/calibration/*")) == []
    assert "--calibration" in report.notes[-1]


def test_a_place_that_cannot_be_written_is_one_sentence(
    round_figures: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file where the folder would be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    assert run(["bench", "calibrate", "--device", "cpu"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rooflight:")]
    assert "taken" in line


def test_a_failed_write_leaves_the_older_file(calibrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = calibrated.read_text()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        calibrate_flow.calibrate(device="cpu")
    assert calibrated.read_text() == before
    assert list(calibrated.parent.iterdir()) == [calibrated]
