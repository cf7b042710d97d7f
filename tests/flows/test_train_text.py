"""From a text file to generated text, through the command line."""

import math
from pathlib import Path

import pytest

from rooflight.cli.main import run
from rooflight.core.codec import from_json
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.flows.generate import Generated, generate
from rooflight.flows.train import train
from tests.flows.conftest import ROOF

KOREAN = "나는 학교에 간다. 너는 집에 간다. 우리는 산에 간다.\n" * 40
COUNTING = "one two three four five six seven eight nine ten.\n" * 60


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """An LSTM that has learned to count."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "counting.txt").write_text(COUNTING)
    config = TrainConfig(
        model="lstm",
        data=str(folder / "counting.txt"),
        epochs=4,
        batch=32,
        lr=1e-2,
        units=16,
        length=5,
        dtype="float32",
        device="cpu",
    )
    result = train(config, out=folder / "run", roof=ROOF).answer
    assert isinstance(result, TrainResult)
    return result


def test_it_learns_to_count_and_says_its_perplexity(counted: TrainResult) -> None:
    assert counted.data.samples == "windows"
    assert counted.data.classes[2:4] == (".", "eight")  # as frequent as every other, and first in the alphabet
    assert counted.evaluation.accuracy > 0.9
    assert math.exp(counted.evaluation.loss) < 2
    assert counted.evaluation.confusion != ()  # 13 words: a matrix that someone reads
    assert [row.name for row in counted.comparisons][:1] == ["step time"]


def test_it_goes_on_from_a_prompt(counted: TrainResult, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["predict", counted.run, "--prompt", "One two", "--tokens", "5", "--temperature", "0"]
    assert run([*asked, "--streams", "2", "--json"]) == 0
    answer = from_json(Generated, capsys.readouterr().out)
    assert answer.texts == ("One two three four five six seven",) * 2
    assert answer.tokens_per_second > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--prompt", "one twoo"], "'twoo' is not among the 11 tokens that this run knows. Try two"),
        (["--prompt", " "], "is empty"),
        (["--prompt", "one", "--tokens", "0"], "--tokens 0"),
        (["--prompt", "one", "--temperature", "-1"], "--temperature -1"),
        (["picture.png", "--prompt", "one"], "give one of the two"),
        (["picture.png"], "reads text, not images"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    counted: TrainResult, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", counted.run, *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_prompt_for_a_model_of_images_is_refused(trained: TrainResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", trained.run, "--prompt", "one"]) == 2
    assert "reads images" in capsys.readouterr().err


def test_export_says_that_it_writes_models_of_images(counted: TrainResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", counted.run, "--to", "torch-export"]) == 2
    assert "reads text" in capsys.readouterr().err


def test_korean_by_character_with_a_gru_of_two_layers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "글.txt").write_text(KOREAN)
    config = TrainConfig(
        model="lstm",
        data=str(tmp_path / "글.txt"),
        level="character",
        cell="gru",
        layers=2,
        units=16,
        length=8,
        epochs=1,
        batch=64,
        validation=0.1,
        class_weights="balanced",
        dtype="float32",
        device="cpu",
    )
    result = train(config, out=tmp_path / "run", roof=ROOF).answer
    assert isinstance(result, TrainResult)
    assert "학" in result.data.classes
    assert result.epochs[0].validation_loss is not None
    answer = generate(tmp_path / "run", "나는 ", tokens=6, streams=1, device="cpu").answer
    assert isinstance(answer, Generated)
    assert len(answer.texts[0]) == 9


def test_a_text_without_a_window_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.txt").write_text("a few words only")
    assert run(["train", "lstm", "--data", str(tmp_path / "short.txt"), "--out", str(tmp_path / "run")]) == 2
    assert "no 21 tokens in a row" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
