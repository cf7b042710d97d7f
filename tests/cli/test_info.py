"""`rooflight info` as a person types it."""

import json
import os
import signal
import subprocess
import sys
import time
from types import ModuleType

import pytest

from rooflight.cli.main import run
from rooflight.core.tables import Report

INFO = [sys.executable, "-m", "rooflight", "info"]


def test_quick_is_quick() -> None:
    start = time.monotonic()
    subprocess.run([*INFO, "--quick"], capture_output=True, check=True)
    assert time.monotonic() - start < 3  # 0.2 s on an idle machine


def test_asking_packages_is_said_on_stderr_alone() -> None:
    done = subprocess.run([*INFO, "--json"], capture_output=True, text=True, check=True)
    machine = json.loads(done.stdout)
    torch = next(each for each in machine["frameworks"] if each["name"] == "torch")
    assert torch["devices"] is not None
    assert "asking torch" in done.stderr


def test_watch_prints_a_line_per_sample_where_there_is_no_terminal() -> None:
    done = subprocess.run(
        [*INFO, "--watch", "--samples", "2", "--interval", "0.1"], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if "CPU" in line and line.startswith("2")]
    assert len(lines) == 2
    assert "busy" in lines[0]
    assert "2 samples in" in done.stdout


def test_watch_as_json_is_a_document_per_line() -> None:
    done = subprocess.run(
        [*INFO, "--watch", "--samples", "2", "--interval", "0.1", "--json"], capture_output=True, text=True, check=True
    )
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sample["devices"][-1]["name"] for sample in samples] == ["CPU", "CPU"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_ctrl_c_ends_watching_with_exit_code_0(flags: list[str]) -> None:
    watching = subprocess.Popen(
        [*INFO, "--watch", "--interval", "0.1", *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    rest, complaints = watching.communicate(timeout=20)
    assert watching.returncode == 0, complaints
    assert complaints == ""
    assert "CPU" in first
    assert ("samples in" in rest) == (not flags)


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    watching = subprocess.Popen(
        [*INFO, "--watch", "--interval", "0.05"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert watching.stdout is not None
    assert watching.stderr is not None
    watching.stdout.readline()
    watching.stdout.close()
    assert watching.wait(timeout=20) == 0
    assert watching.stderr.read() == b""
    watching.stderr.close()


def test_a_terminal_gets_a_table_that_renews_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    assert run(["info", "--watch", "--samples", "2", "--interval", "0.05"]) == 0
    shown = capsys.readouterr().out
    assert "Ctrl-C ends" in shown
    assert "2 samples in" in shown


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A flow that remembers what it was asked."""
    asked: list[tuple[object, ...]] = []
    module = ModuleType("rooflight.flows.catalogue")

    def show_catalogue() -> Report:
        asked.append(())
        return Report(answer=None)

    def show_resolved(name: str, memory_bytes: int | None = None) -> Report:
        asked.append((name, memory_bytes))
        return Report(answer=None, exit_code=1)

    module.show_catalogue, module.show_resolved = show_catalogue, show_resolved  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rooflight.flows.catalogue", module)
    return asked


def test_questions_to_the_catalogue(catalogue: list[tuple[object, ...]], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--catalogue"]) == 0
    assert run(["info", "--resolve", "NVIDIA H100 80GB HBM3"]) == 1
    assert run(["info", "--resolve", "NVIDIA GeForce RTX 4060 Ti", "--memory-gib", "16"]) == 1
    assert catalogue == [(), ("NVIDIA H100 80GB HBM3", None), ("NVIDIA GeForce RTX 4060 Ti", 16 << 30)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--watch", "--catalogue"], "--watch and --catalogue are different questions"),
        (["--watch", "--interval", "0"], "--interval 0"),
        (["--watch", "--samples", "0"], "--samples 0"),
        (["--watch", "--interval", "soon"], "soon"),
        (["--quik"], "--quik"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "0", "-5", "1e300"])
def test_a_memory_that_cannot_be_is_one_sentence(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--resolve", "NVIDIA H100 80GB HBM3", f"--memory-gib={number}"]) == 2
    assert "--memory-gib" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["nan", "inf", "1e300", "0", "-1"])
def test_an_interval_that_cannot_be_is_one_sentence(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--watch", "--samples", "1", f"--interval={number}"]) == 2
    assert "--interval" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "needs"), [("--memory-gib", "--resolve"), ("--samples", "--watch"), ("--interval", "--watch")]
)
def test_a_flag_of_another_question_is_one_sentence(flag: str, needs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "--quick", flag, "2"]) == 2
    assert f"{flag} 2 is for {needs}" in capsys.readouterr().err
