"""The proof finds what it is made to find."""

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rooflight.core.codec import from_plain
from rooflight.core.errors import ConfigError
from rooflight.core.proofs import Proof
from rooflight.flows import prove as flow
from rooflight.flows.prove import prove
from rooflight.flows.prove_child import SAMPLES
from rooflight.flows.prove_compare import differences, read_samples
from rooflight.flows.prove_kills import draw_moment
from rooflight.train.checkpoint.read import read_folder


@pytest.fixture(scope="module")
def proof(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """`rooflight prove cnn --kills 10`, as a user runs it, in a process of its own."""
    out = tmp_path_factory.mktemp("prove") / "runs"
    flags = ["--data", str(small_data), "--epochs", "4", "--ema", "0.9", "--device", "cpu", "--dtype", "float32"]
    command = [sys.executable, "-m", "rooflight", "prove", "cnn", "--kills", "10", *flags, "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), out


def test_ten_kills_change_no_bit(proof: tuple[dict[str, Any], Path]) -> None:
    found = from_plain(Proof, proof[0])
    assert found.proven
    assert len(found.kills) == 10
    assert set(found.equal) == {
        "weights",
        "optimizer state",
        "averages",
        "sums of the epoch",
        "place, scaler and records",
        "sample log",
        "metrics",
        "evaluation",
    }
    assert found.differences == ()
    assert found.steps == 64  # 1,000 samples in batches of 64, four times
    assert found.steps_repeated > 0
    assert found.kills_in_saves >= 1
    assert found.checkpoints_equal == found.checkpoints_compared


def test_the_runs_are_left_where_out_says(proof: tuple[dict[str, Any], Path]) -> None:
    names = {path.name for path in proof[1].iterdir()}
    assert {"uninterrupted", "killed-1"} <= names


@pytest.fixture
def pair(proof: tuple[dict[str, Any], Path], tmp_path: Path) -> tuple[Path, Path]:
    """A run that was killed, to be changed, and the one that was left alone."""
    shutil.copytree(proof[1] / "killed-1", tmp_path / "run")
    return tmp_path / "run", proof[1] / "uninterrupted"


def test_one_bit_in_a_weight_is_found(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole = pair
    newest = max((run / "checkpoints").glob("step-*"))
    mine, other = read_folder(newest), read_folder(whole / "checkpoints" / newest.name)
    name = next(name for name in mine.tensors if name.startswith("optimizer.") and name.endswith("exp_avg"))
    mine.tensors[name].view(-1)[0] = -mine.tensors[name].view(-1)[0]
    found = flow.compare_states(mine, other)
    assert found["optimizer state"] == [name]
    assert found["weights"] == []


def test_a_sample_in_another_place_is_found(pair: tuple[Path, Path]) -> None:
    run, whole = pair
    lines = (run / SAMPLES).read_text().splitlines()
    row = json.loads(lines[-1])
    row["ids"][0], row["ids"][1] = row["ids"][1], row["ids"][0]
    (run / SAMPLES).write_text("\n".join([*lines, json.dumps(row)]) + "\n")
    assert differences(run, whole)["sample log"] == ["1 repeated steps saw another batch"]


def test_a_metric_that_differs_is_found(pair: tuple[Path, Path]) -> None:
    run, whole = pair
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[0]["seconds"] += 1.0  # a time may differ
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert not any(differences(run, whole).values())
    rows[0]["train_loss"] += 1e-15
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert differences(run, whole)["metrics"] == ["metrics.jsonl"]


def test_a_difference_is_a_clear_no(
    small_data: Path, monkeypatch: pytest.MonkeyPatch, proof: tuple[dict[str, Any], Path]
) -> None:
    found = from_plain(Proof, {**proof[0], "equal": {"weights": False}, "differences": ["weights: one"]})
    monkeypatch.setattr(flow, "_prove", lambda *arguments: found)
    told = prove({"data": str(small_data)}, kills=1)
    assert told.exit_code == 1
    assert "differs: weights: one" in told.notes


def test_repeated_steps_are_counted_and_cut_lines_left_out(tmp_path: Path) -> None:
    row = {"epoch": 1, "samples": 0, "ids": [1, 2], "sha256": "a"}
    lines = [json.dumps(row), '{"epoch"', json.dumps(row), json.dumps({**row, "samples": 2})]
    (tmp_path / SAMPLES).write_text("\n".join(lines) + "\n")
    log = read_samples(tmp_path / SAMPLES)
    assert (len(log.batches), log.repeated, log.contradictions) == (2, 1, 0)


def test_moments_follow_from_the_seed() -> None:
    first, again = ([draw_moment(random.Random(3), 20, in_save=in_save) for in_save in (True, False)] for _ in range(2))
    assert first == again


@pytest.mark.parametrize(("kills", "given"), [(0, {}), (10_001, {}), (3, {"epochs": 0})], ids=str)
def test_what_cannot_be_proven_is_said(kills: int, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        prove(given, kills=kills)
