"""What a worker prints, from times given by hand. Workers are loaded as files: they import each other by name."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks/workers/task.py"


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_task", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "benchmark_task", module)  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_steps_are_told_apart_from_the_wait_before_them(task: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """1,000 samples: 900 of them in 3 s of steps, in an epoch of 10 s. The first epoch does not count."""
    record = task.Record(batch=100, epochs=3, samples=1000, started=0.0)
    record.epoch_done(100.0)
    record.epoch_done(10.0, steps=(900, 3.0))
    record.epoch_done(5.0, steps=(900, 3.0))
    record.finish(parameters=7, accuracy=0.5, versions={})
    line = json.loads(capsys.readouterr().out)
    assert line["samples_per_second"] == 300
    assert line["whole_samples_per_second"] == (1000 / 10 + 1000 / 5) / 2
    assert line["peak_bytes"] > 1_000_000


def test_an_epoch_that_was_not_timed_is_refused(task: ModuleType) -> None:
    record = task.Record(batch=100, epochs=3, samples=1000, started=0.0)
    record.epoch_done(1.0)
    with pytest.raises(SystemExit, match="3 epochs, 1 were timed"):
        record.finish(parameters=7, accuracy=0.5, versions={})
