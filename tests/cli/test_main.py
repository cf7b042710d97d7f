"""The command as a person types it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rooflight import __version__
from rooflight.cli.flags import resolve
from rooflight.cli.main import run
from rooflight.core.errors import ConfigError
from rooflight.core.training import TrainConfig


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("info", "plan", "train", "predict", "export", "report", "demo"))


def test_every_setting_has_a_flag_with_its_help_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for flag in ("--data-dir", "--epochs", "--batch", "--lr", "--no-flip", "--seed", "--config", "--out", "--json"):
        assert flag in shown
    assert "passes over the training set [default: 5]" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "Did you mean"),
        (["train", "--epohcs", "3"], "--epohcs"),
        (["train", "--epochs", "three"], "three"),
        (["train", "--epochs", "0"], "--epochs 0: it must be 1 or more"),
        (["train", "--dtype", "int3"], "int3"),
        (["train", "--seed", str(2**80)], "must be below"),
        (["train", "--shift", "28"], "--shift 28"),
        (["train", "--lr", "nan"], "--lr nan: it must be a finite number"),
        (["train", "--augment", "nan"], "--augment nan: it must be a finite number"),
        (["train", "--data", "bundeld"], "Did you mean 'bundled'"),
        (["train", "--config", "no/such.json"], "no such file"),
        (["train", "cmn"], "no model 'cmn'. Did you mean 'cnn'"),
        (["predict", "no/run", "a.png"], "no/run: no such run folder"),
        (["predict"], "--run"),
        (["export", "no/run"], "no/run: no such run folder"),
        (["report", "no/run"], "no/run: no such run folder"),
        (["plan", "--device", "cuda:9"], "--device cuda:9"),
        (["info", "extra"], "extra"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line.startswith("rooflight: ")]
    assert sentence in line
    assert "Traceback" not in captured.err


def test_a_read_only_place_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    code = run(["train", "--epochs", "1", "--out", str(tmp_path / "file/run")])
    assert code == 2
    assert "file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_stopping_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(**flags: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rooflight.flows.info.info", stop)
    assert run(["info"]) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
@pytest.mark.parametrize(("ignored", "code"), [(False, 130), (True, 0)], ids=["a terminal that closes", "under nohup"])
def test_a_hangup_ends_a_command_as_ctrl_c_does(ignored: bool, code: int) -> None:
    program = (
        "import os, signal, sys\n"
        f"signal.signal(signal.SIGHUP, signal.{'SIG_IGN' if ignored else 'SIG_DFL'})\n"
        "from rooflight.cli import main\n"
        "main._print = lambda *_, **__: os.kill(os.getpid(), signal.SIGHUP) or 0\n"
        "main.main(['info', '--quick'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "place", ["rooflight.cli.app.parse", "rooflight.cli.main.to_json"], ids=["while it starts", "while it prints"]
)
def test_ctrl_c_at_any_time_is_one_sentence(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, stop)
    assert run(["info", "--quick", "--json"]) == 130
    assert capsys.readouterr().err == "rooflight: stopped.\n"


def test_ctrl_c_while_python_imports_the_commands_is_one_sentence() -> None:
    program = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from rooflight.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "rooflight: stopped.\n")


def test_the_advice_names_no_flag_that_the_command_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(**flags: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rooflight.flows.info.info", full)
    assert run(["info"]) == 2
    said = capsys.readouterr().err
    assert "Free some space" in said
    assert "--out" not in said


def test_json_is_one_document_and_nothing_else() -> None:
    command = [sys.executable, "-m", "rooflight", "info", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["cpu"]["logical_cores"] >= 1


def test_a_terminal_without_hangul_still_gets_an_answer(tmp_path: Path) -> None:
    (tmp_path / "가방").mkdir()
    command = [sys.executable, "-m", "rooflight", "train", "--data", str(tmp_path / "가방")]
    done = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "class folders" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "rooflight", "info", "--quick", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("rooflight: the answer could not be written")
    assert len(done.stderr.splitlines()) == 1


def test_the_order_is_defaults_file_flags(tmp_path: Path) -> None:
    for name, content in (("c.json", '{"epochs": 7, "batch": 16}'), ("c.toml", "epochs = 7\nbatch = 16\n")):
        (tmp_path / name).write_text(content)
        config = resolve(TrainConfig, {"batch": 64}, tmp_path / name)
        assert (config.epochs, config.batch, config.seed) == (7, 64, 0)


def test_an_unknown_key_of_a_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"epohcs": 7}')
    with pytest.raises(ConfigError, match=r"no key 'epohcs'. Did you mean 'epochs'"):
        resolve(TrainConfig, {}, tmp_path / "c.json")
    (tmp_path / "c.json").write_text("[1]")
    with pytest.raises(ConfigError, match="must hold an object"):
        resolve(TrainConfig, {}, tmp_path / "c.json")
