"""`--out` of the benches: refused before the work, and never the end of an answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rooflight.cli.main import run
from rooflight.core.errors import ConfigError
from rooflight.core.tables import Report
from rooflight.flows.answer import keep_answer
from rooflight.flows.bench_ops import bench_ops
from rooflight.flows.bench_roofs import bench_roofs
from rooflight.flows.frameworks import frameworks
from rooflight.flows.links import links
from rooflight.flows.mlperf import mlperf

REPORT = Report(answer={"rate": 3.0}, notes=("as measured",), exit_code=1)


def test_an_answer_is_written_as_json_prints_it(tmp_path: Path) -> None:
    out = tmp_path / "answer.json"
    assert keep_answer(REPORT, out) == keep_answer(REPORT, None) == REPORT
    assert json.loads(out.read_text()) == {"rate": 3.0}


def test_an_answer_that_cannot_be_written_is_still_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    out = tmp_path / "answer.json"
    kept = keep_answer(REPORT, out)
    note = f"! {out} was not written: No space left on device. The answer stands here alone."
    assert (kept.answer, kept.notes, kept.exit_code) == (REPORT.answer, ("as measured", note), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_while_the_bench_runs_costs_no_answer(tmp_path: Path) -> None:
    assert keep_answer(REPORT, tmp_path / "gone/answer.json").exit_code == 2


@pytest.mark.parametrize("flow", [bench_roofs, bench_ops, frameworks, links, mlperf])
def test_a_folder_as_out_is_refused_before_anything_runs(
    flow: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def too_late(*arguments: object, **settings: object) -> None:
        raise AssertionError("the bench has begun")

    monkeypatch.setattr("rooflight.hardware.detect.detect", too_late)
    monkeypatch.setattr("rooflight.hardware.process.busy_cores", too_late)
    with pytest.raises(ConfigError, match="is no regular file"):
        flow(out=tmp_path)


@pytest.mark.parametrize("command", ["roofs", "mlperf"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "1e300", "-1"])
def test_seconds_that_are_no_time_are_one_sentence(
    command: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", command, f"--seconds={seconds}"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("rooflight: --seconds ")
    assert said.err.count("\n") == 1
    assert said.out == ""
