"""The rounds of `bench frameworks`: with real workers at toy size, and with some that crash or hang."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rooflight.bench.processes import Ended
from rooflight.core.benches import FrameworkComparison, FrameworkRun
from rooflight.core.codec import from_json, read_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.tables import text
from rooflight.flows import frameworks as flow
from rooflight.flows.frameworks import FRAMEWORKS, frameworks, missing, summarise_runs, worker_environment

FAILED = Ended(code=1, seconds=1.0, stdout="", stderr="")


def run(framework: str, number: int, train: float, infer: float) -> FrameworkRun:
    return FrameworkRun(
        framework=framework,
        model="cnn",
        batch=8,
        round=number,
        train_samples_per_second=train,
        infer_samples_per_second=infer,
        first_step_seconds=float(number),
        peak_bytes=100 * number,
        parameters=93_322,
        versions={},
    )


def test_ratios_are_taken_round_by_round() -> None:
    """The machine halves its speed in the second round: the ratio does not see it."""
    runs = [run("rooflight", 1, 300, 50), run("keras-jax", 1, 200, 100)]
    runs += [run("rooflight", 2, 150, 25), run("keras-jax", 2, 100, 50)]
    ours, theirs = summarise_runs(runs)
    assert (ours.framework, ours.train.median, ours.train.low, ours.train.n) == ("rooflight", 225, 187.5, 2)
    assert theirs.train_ratio is not None
    assert theirs.infer_ratio is not None
    assert (theirs.train_ratio.median, theirs.train_ratio.low, theirs.infer_ratio.median) == (1.5, 1.5, 0.5)
    assert (theirs.first_step_seconds, theirs.peak_bytes) == (1.5, 150)


def test_without_the_reference_there_is_no_ratio() -> None:
    (row,) = summarise_runs([run("pytorch", 1, 10, 10)])
    assert row.train_ratio is None


def test_a_round_of_real_workers_is_a_table_and_a_file(tmp_path: Path) -> None:
    out = tmp_path / "frameworks.json"
    report = frameworks(
        models=["cnn"], names=["pytorch,rooflight"], batch=8, rounds=1, seconds=0.05, device="cpu", out=out
    )
    answer = report.answer
    assert isinstance(answer, FrameworkComparison)
    assert read_json(FrameworkComparison, out) == answer == from_json(FrameworkComparison, to_json(answer))
    assert {row.framework for row in answer.rows} == {"pytorch", "rooflight"}
    assert {row.parameters for row in answer.rows} == {93_322}
    assert answer.not_run == ()
    assert report.exit_code == 0
    assert "cnn, batch 8, float32" in text(report)
    assert max(map(len, text(report).splitlines())) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lstm", "vgg16"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_every_framework_that_is_installed_runs_every_model(model: str, name: str) -> None:
    if reason := missing(FRAMEWORKS[name]):
        pytest.skip(reason)
    report = frameworks(models=[model], names=[name], batch=2, rounds=1, seconds=0.01, device="cpu")
    assert isinstance(report.answer, FrameworkComparison)
    assert [row.framework for row in report.answer.rows] == [name], report.answer.not_run
    expected = {"lstm": (388_584, 389_096), "vgg16": (21_140_042,)}[model]  # PyTorch keeps two biases in a gate
    assert report.answer.rows[0].parameters in expected


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A framework whose worker crashes, one that hangs, one that is not installed, and one that works."""
    (tmp_path / "crashes.py").write_text("raise MemoryError('no room for 3 TiB')")
    (tmp_path / "hangs.py").write_text("import time; time.sleep(60)")
    line = run("", 0, 100, 200)
    keys = ("framework", "model", "batch", "round")
    answer = {key: value for key, value in json.loads(to_json(line)).items() if key not in keys}
    (tmp_path / "works.py").write_text(f"print('noise')\nprint({json.dumps(answer)!r})")
    here = {"PYTHONPATH": str(tmp_path)}
    base = replace(FRAMEWORKS["pytorch"], environment=here)
    known = {name: replace(base, worker=name) for name in ("crashes", "hangs", "works")}
    known["absent"] = replace(base, needs=("torch", "no_such_package"), install="pip install no-such-package")
    monkeypatch.setattr(flow, "FRAMEWORKS", known)


@pytest.mark.usefixtures("broken")
def test_what_crashes_hangs_or_is_not_installed_is_a_row_with_its_reason_and_is_not_asked_again() -> None:
    report = frameworks(models=["cnn"], rounds=3, limit_seconds=1.5, seconds=0.1, device="cpu")
    answer = report.answer
    assert isinstance(answer, FrameworkComparison)
    assert [(row.framework, row.train.n) for row in answer.rows] == [("works", 3)]
    assert {each.what: each.reason for each in answer.not_run} == {
        "absent": "not installed: no_such_package. Try pip install no-such-package",
        "crashes, cnn": "exit code 1: MemoryError: no room for 3 TiB",
        "hangs, cnn": "not done after 1.50 s",
    }
    assert "no room for 3 TiB" in text(report)


@pytest.mark.usefixtures("broken")
def test_nothing_that_ran_is_a_clear_no() -> None:
    assert frameworks(models=["cnn"], names=["crashes"], rounds=1, device="cpu").exit_code == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"models": ["cnm"]}, "no model 'cnm'. Did you mean 'cnn'"),
        ({"names": ["keras-jaxx"]}, "no framework 'keras-jaxx'. Did you mean 'keras-jax'"),
        ({"batch": 0}, "--batch 0"),
        ({"rounds": 0}, "--rounds 0"),
        ({"seconds": 0.0}, "--seconds 0"),
        ({"limit_seconds": float("inf")}, "--limit inf"),
        ({"limit_seconds": 1e300}, "--limit 1e"),
        ({"seconds": float("nan")}, "--seconds nan"),
        ({"out": Path("no/such/folder/x.json")}, "no such folder"),
        ({"device": "cuda:9"}, "--device cuda:9"),
    ],
)
def test_wrong_input_is_said_before_anything_runs(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        frameworks(**settings)  # type: ignore[arg-type]


def test_the_shell_does_not_decide_a_frameworks_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    settings = worker_environment(FRAMEWORKS["keras-jax"], None, threads=2)
    assert (settings["KERAS_BACKEND"], settings["OMP_NUM_THREADS"], settings["JAX_PLATFORMS"]) == ("jax", "2", "cpu")
    assert "XLA_FLAGS" not in settings
    assert settings["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(
    ("shell", "gpu", "expected"),
    [
        ({}, 1, {"CUDA_VISIBLE_DEVICES": "1"}),
        ({"CUDA_VISIBLE_DEVICES": "2"}, 0, {"CUDA_VISIBLE_DEVICES": "2"}),
        ({"CUDA_VISIBLE_DEVICES": "3, 2"}, 1, {"CUDA_VISIBLE_DEVICES": "2"}),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a5c,MIG-41b3"}, 1, {"CUDA_VISIBLE_DEVICES": "MIG-41b3"}),
        ({"HIP_VISIBLE_DEVICES": "5,7"}, 1, {"CUDA_VISIBLE_DEVICES": "7", "HIP_VISIBLE_DEVICES": "7"}),
        ({"ROCR_VISIBLE_DEVICES": "4,6"}, 1, {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "4,6"}),
    ],
)
def test_the_worker_sees_the_gpu_that_pytorch_counts_here(
    monkeypatch: pytest.MonkeyPatch, shell: dict[str, str], gpu: int, expected: dict[str, str]
) -> None:
    names = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    settings = worker_environment(FRAMEWORKS["pytorch"], gpu, threads=2)
    assert {name: settings[name] for name in names if name in settings} == expected


@pytest.mark.parametrize(
    ("device", "gpu"), [(torch.device("cuda"), 0), (torch.device("cuda:1"), 1), (torch.device("cpu"), None)]
)
def test_cuda_without_a_number_is_the_first_gpu(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, gpu: int | None
) -> None:
    asked: list[int | None] = []

    def note(framework: flow.Framework, index: int | None, *, threads: object) -> dict[str, str]:
        asked.append(index)
        return {"PATH": os.environ.get("PATH", "")}

    monkeypatch.setattr("rooflight.train.device.pick_device", lambda word: (device, "as asked"))
    monkeypatch.setattr(flow, "device_name", lambda *_: "a device")
    monkeypatch.setattr(flow, "worker_environment", note)
    monkeypatch.setattr("rooflight.bench.processes.run_module", lambda *_, **__: FAILED)
    frameworks(models=["cnn"], names=["pytorch"], rounds=1)
    assert asked == [gpu]


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name in ("keras", "torch") else None)
    assert {name: missing(framework) for name, framework in FRAMEWORKS.items()} == {
        "keras-tensorflow": "not installed: tensorflow. Try pip install 'rooflight[keras,tensorflow]' "
        "(from a checkout: '.[keras,tensorflow]')",
        "keras-jax": "not installed: jax. Try pip install 'rooflight[keras,jax]' (from a checkout: '.[keras,jax]')",
        "keras-torch": "",
        "pytorch": "",
        "rooflight": "",
    }
