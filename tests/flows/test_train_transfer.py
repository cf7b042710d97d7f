"""Transfer learning end to end: train, evaluate, predict, export; paid once, and exact."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rooflight.core.console import Silent
from rooflight.core.errors import ConfigError
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.flows.checkpoint import load_run
from rooflight.flows.export import export
from rooflight.flows.family import build_model, family_of
from rooflight.flows.predict import predict
from rooflight.flows.setting import decide, resolved
from rooflight.flows.train import train
from rooflight.train.fit import Hooks, fit
from rooflight.train.layout import prepare
from rooflight.train.state import TrainState
from tests.flows.conftest import ROOF


class Listener(Silent):
    """Keeps what a flow says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 images in several sizes, which even a random base tells apart: bright and dark ones."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, least in (("bright", 150), ("dark", 0)):
        (root / name).mkdir()
        for number in range(20):
            height, width = random.integers(40, 70, 2)
            pixels = random.integers(least, least + 100, (height, width, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def config_of(data: Path, **more: Any) -> TrainConfig:
    settings = {"model": "transfer:resnet18", "weights": "random", "image_size": 32, "batch": 8, "epochs": 4}
    return TrainConfig(data=str(data), dtype="float32", device="cpu", **(settings | more))


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[str]]:
    console = Listener()
    out = tmp_path_factory.mktemp("runs") / "transfer"
    result = train(config_of(pictures, views=2, lr=1e-2), out=out, roof=ROOF, console=console).answer
    assert isinstance(result, TrainResult)
    return result, console.lines


def test_the_four_steps_are_seen_in_their_order(run: tuple[TrainResult, list[str]]) -> None:
    steps = [line for line in run[1] if line[1:2] == "/"]
    assert [line.split(":")[0] for line in steps] == ["1/4 base", "2/4 frozen", "3/4 head", "4/4 fine-tune"]
    assert "drawn at random, as asked" in steps[0]
    assert "32 training samples in 2 views and 8 test samples" in steps[1]
    assert "batches of 32" in steps[1]


def test_it_learns_and_the_whole_model_agrees_with_the_features(run: tuple[TrainResult, list[str]]) -> None:
    result, _ = run
    assert result.evaluation.accuracy == 1.0
    assert result.epochs[-1].test_accuracy == result.evaluation.accuracy
    assert result.evaluation.loss == pytest.approx(result.epochs[-1].test_loss, abs=1e-4)
    assert any("scores within" in reason for reason in result.reasons)
    assert [row.name for row in result.comparisons] in ([], ["a batch of 32 through the frozen base"])


def test_the_run_predicts_and_exports_as_one_model(
    run: tuple[TrainResult, list[str]], pictures: Path, tmp_path: Path
) -> None:
    result, _ = run
    model, checkpoint = load_run(Path(result.run), torch.device("cpu"))
    assert model.base.layer4[0].conv1.weight.shape == (512, 256, 3, 3)
    assert checkpoint.pixels.height == 32
    answer: Any = predict(Path(result.run), [pictures / "bright"], device="cpu").answer
    assert {row.label for row in answer.predictions} == {"bright"}
    report = export(Path(result.run), to="torch-export", out=tmp_path / "exported")
    assert report.exit_code == 0


def test_the_base_s_weights_are_those_of_the_file(pictures: Path, tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(5)
    published = models.resnet18(weights=None)
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    config = config_of(pictures, weights=str(tmp_path / "resnet18.pth"), epochs=1)
    train(config, out=tmp_path / "run", roof=ROOF)
    model, _ = load_run(tmp_path / "run", torch.device("cpu"))
    assert torch.equal(model.base.layer1[0].conv1.weight, published.layer1[0].conv1.weight)
    assert torch.equal(model.base.bn1.running_mean, published.bn1.running_mean)


def test_fine_tuning_moves_the_top_block_and_the_head_alone(pictures: Path, tmp_path: Path) -> None:
    console = Listener()
    config = config_of(pictures, fine_tune=1, fine_tune_lr=1e-3, epochs=2)
    result: Any = train(config, out=tmp_path / "run", roof=ROOF, console=console).answer
    assert any(line.startswith("4/4 fine-tune: the top 1 blocks") for line in console.lines)
    model, checkpoint = load_run(tmp_path / "run", torch.device("cpu"))
    fresh = build_model(config, reads_of(checkpoint), fresh=True)
    moved = {
        name.split(".")[1] if name.startswith("base") else "head"
        for name, value in fresh.state_dict().items()
        if not torch.equal(value, model.state_dict()[name])
    }
    assert moved == {"layer4", "head"}
    assert result.evaluation.accuracy == result.epochs[-1].test_accuracy


def reads_of(checkpoint: Any) -> Any:
    from rooflight.flows.family import Reads

    return Reads(classes=checkpoint.classes, preprocessing=checkpoint.preprocessing)


def weights_after(config: TrainConfig, folder: Path, *, stop: int = 0, go_on: bool = False) -> dict[str, Tensor]:
    """The weights of a run; or of one that is stopped after `stop` steps and goes on in a new process's place."""
    family = family_of(config)
    found = family.find(config, Silent())
    setting = decide(config, found.info)
    config = resolved(config, setting)
    resume: Any = None
    for part in (1, 2) if go_on else (2,):
        data = family.prepare(found, config, setting)
        model, _ = prepare(build_model(config, data.reads, fresh=True), setting.device, setting.dtype)
        assert data.stages is not None
        data.stages.begin(model, folder / "run", Silent(), epoch=resume[1]["place"]["epoch"] if resume else 1)
        saved: list[Any] = []

        def save(state: TrainState, saved: list[Any] = saved) -> None:
            if state.place.step == stop:
                saved.append(({name: value.clone() for name, value in state.tensors().items()}, state.document()))

        fit(
            model,
            data.batches,
            data.test_batches,
            config,
            dtype=setting.dtype,
            classes=2,
            groups=data.stages.groups(model),
            resume=resume,
            hooks=Hooks(on_save=save),
        )
        resume = saved[0] if part == 1 else None
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("stop", [2, 6, 10, 14])  # of 16 steps, four an epoch; the top block is trained from step 9
def test_a_run_goes_on_to_the_bit(pictures: Path, tmp_path: Path, stop: int) -> None:
    config = config_of(pictures, views=2, fine_tune=1, fine_tune_lr=1e-3, checkpoint_every=2)
    whole = weights_after(config, tmp_path)
    again = weights_after(config, tmp_path, stop=stop, go_on=True)
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_grey_images_of_a_named_set_become_rgb(small_data: Path, tmp_path: Path) -> None:
    config = config_of(small_data, epochs=1, batch=100)
    result: Any = train(config, out=tmp_path / "run", roof=ROOF).answer
    assert result.preprocessing.channels == 3
    assert result.evaluation.count == 500


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fine_tune": 1, "epochs": 1}, "its epochs follow those of the head"),
        ({"fine_tune": 9}, "this base has 5 blocks"),
        ({"model": "transfer:resnet_18"}, "'resnet18'"),
        ({"weights": "nowhere.safetensors"}, "no such file"),
        ({"model": "transfer:densenet121", "head": "flatten"}, "no map to flatten"),
    ],
)
def test_what_cannot_be_is_one_sentence(pictures: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config_of(pictures, **more), out=tmp_path / "run", roof=ROOF)
    assert not (tmp_path / "run").exists()


def test_weights_that_cannot_be_fetched_are_one_sentence(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: Any, **options: Any) -> Any:
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ConfigError, match=r"could not be fetched \(Name or service not known\)\. Try --weights FILE"):
        train(config_of(pictures, weights=None), out=tmp_path / "run", roof=ROOF)
