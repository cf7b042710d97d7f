"""`rooflight plan` as a person types it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rooflight.cli.main import run

BROKEN = "from torch import nn\n\nINPUT_SHAPE = (3, 8, 8)\n\n\ndef build():\n    return nn.Linear(5, 5)\n"
VALUES = """
import torch
from torch import nn

INPUT_SHAPE = (3, 8, 8)


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        y = self.layer(x)
        return y.flatten(1) if y.sum().item() > 0 else -y.flatten(1)


def build():
    return Branches()
"""


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cmn"], "there is no model 'cmn'. Did you mean cnn"),
        (["torchvision:resnet5"], "torchvision has no model 'resnet5'. Did you mean resnet50"),
        (["cnn", "--gpu", "RTX 4099"], "no GPU 'RTX 4099' in the catalogue. Did you mean GeForce RTX 4090"),
        (["cnn", "--gpu", "4060 ti"], "can be GeForce RTX 4060 Ti"),
        (["cnn", "--batch", "0"], "--batch 0: it must be 1 or more"),
        (["cnn", "--batch", "many"], "many"),
        (["cnn", "--page", "x.txt"], "--page x.txt: a page is HTML. Try --page x.html"),
        (["cnn", "--task", "infer", "--optimizer", "adam"], "--optimizer adam is for training"),
        (["cnn", "--gpus", "0"], "--gpus 0: it must be 1 or more"),
        (["cnn", "--gpu", "RTX 2080 Ti", "--dtype", "bfloat16"], "does not compute in bfloat16; it does in float16"),
        (["cnn", "--dtype", "int3"], "int3"),
        (["cnn", "--optimizer", "adamx", "--gpu", "T4"], "asked was 'adamx'. Did you mean 'adam"),
        (["cnn", "--goal", "slowest"], "slowest"),
        (["cnn", "--max-watts", "-5"], "--max-watts -5: it must be 0 or more"),
        (["cnn", "--form-factor", "ISA"], "--form-factor ISA: the catalogue has"),
        (["cnn", "--compare", "T4"], "--compare"),
        (["cnn", "--compare", "T4", "T4"], "two different GPUs"),
        (
            ["cnn", "--gpu", "T4", "--scaling", "1..2", "--trace-only"],
            "--scaling has an answer of its own",
        ),
        (["torchvision:vgg11", "--image-size", "7", "--gpu", "T4"], "does not run on input (3, 7, 7) at batch 64"),
        (["cnn", "--batch", "65", "--accumulation", "2", "--gpu", "T4"], "does not divide into 2"),
        (["no/such.json"], "no/such.json"),
        (["no/such.py:build"], "there is no file no/such.py"),
        (["{broken}:build", "--gpu", "T4"], "does not run on input (3, 8, 8)"),
        (["{values}:build", "--gpu", "T4"], "asks for the value of a tensor"),
        (["{values}:buidl", "--gpu", "T4"], "no function 'buidl'. Did you mean 'build'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"{broken}": ("broken.py", BROKEN), "{values}": ("values.py", VALUES)}
    for name, content in files.values():
        (tmp_path / name).write_text(content)
    for mark, (name, _) in files.items():
        arguments = [word.replace(mark, str(tmp_path / name)) for word in arguments]
    assert run(["plan", *arguments, "--no-measure"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.replace("\n", " ").split("rooflight: ")[1:]
    assert sentence in line
    assert "Traceback" not in captured.err


def test_json_is_the_answer_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "cnn", "--gpu", "T4", "--gpu", "L4", "--batch", "32", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["workload"]["batch"] == 32
    assert {row["gpu"] for row in document["estimates"]} == {"T4", "L4"}


def test_a_trace_is_printed_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "cnn", "--dtype", "float16", "--trace-only", "--json"]) == 0
    file = tmp_path / "trace.json"
    file.write_text(capsys.readouterr().out)
    assert run(["plan", str(file), "--gpu", "T4"]) == 0
    assert "cnn, training, batch 64, float16, adam" in capsys.readouterr().out


def test_a_clear_no_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "cnn", "--gpu", "T4", "--batch", "1000000"]) == 1
    assert "It fits no GPU that was asked for" in capsys.readouterr().out


def test_prices_are_refreshed_without_a_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from rooflight.catalogue import prices
    from rooflight.core.types import Offer

    today = datetime.now(UTC).date().isoformat()
    offer = Offer(gpu="T4", gpus=1, usd_per_hour=0.1, provider="a cloud", as_of=today, source="made up")
    monkeypatch.setattr(prices, "hunt", lambda date: (offer,))
    assert run(["plan", "--refresh-prices"]) == 0
    assert f"1 offers of {today}" in capsys.readouterr().out
    assert run(["plan", "cnn", "--gpu", "T4", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["estimates"]
    assert row["usd_per_hour"] == 0.1
    assert row["price"] == f"a cloud, on demand, {today}"
