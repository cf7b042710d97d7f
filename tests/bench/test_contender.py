"""How a framework's worker is timed, and that the tutorials' networks are the models of the registry."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from rooflight.bench.contender import FirstStep, Task, arrays, compete, inference_seconds, training_rate
from rooflight.bench.torch_worker import TorchContender, network, torch_arrays
from rooflight.core.codec import to_json

TASK = Task(
    framework="pytorch",
    model="cnn",
    batch=4,
    steps=2,
    dtype="float32",
    device="cpu",
    threads=1,
    seconds=0.01,
    started=0.0,
)


class Recorded:
    """Trains at the rates that a test gives."""

    parameters, versions = 7, {"recorded": "1"}

    def __init__(self, rates: list[float]) -> None:
        self.rates = iter(rates)
        self.asked: list[int] = []

    def train(self, epochs: int) -> list[float]:
        self.asked.append(epochs)
        return [next(self.rates) for _ in range(epochs)]

    def infer(self) -> None:
        return None


def test_the_first_epoch_warms_up_and_the_first_of_the_timed_ones_is_left_out() -> None:
    """100 samples an epoch at 100/s: 1 s each; 3 s of training are three epochs after one that is dropped."""
    recorded = Recorded([100, 1, 300, 100, 200])
    assert training_rate(recorded, replace(TASK, batch=10, steps=10, seconds=3.0)) == 200
    assert recorded.asked == [1, 4]


def test_inference_is_the_median_of_calls_that_fill_the_time() -> None:
    """Calls of 5, 1, 9 s on a wound clock: two warm up, three are the least, and they fill 10 s."""
    ticks = clock([0, 0, 5, 5, 6, 6, 15, 15])
    assert inference_seconds(lambda: None, 10.0, clock=lambda: next(ticks)) == 5


def clock(times: list[float]) -> Iterator[float]:
    yield from times
    raise AssertionError("the clock was read too often")


def test_everybody_gets_the_same_data() -> None:
    for model, shape in (("cnn", (8, 28, 28, 1)), ("lstm", (8, 20)), ("vgg16", (8, 224, 224, 3))):
        task = replace(TASK, model=model)  # type: ignore[arg-type]
        x, y = arrays(task)
        tensor, labels = torch_arrays(task)
        assert (x.shape, y.shape) == (shape, (8,))
        assert np.array_equal(tensor.movedim(1, -1).numpy() if tensor.ndim == 4 else tensor.numpy(), x)
        assert labels.tolist() == y.tolist()


@pytest.mark.parametrize(("model", "parameters"), [("cnn", 93_322), ("lstm", 389_096), ("vgg16", 21_140_042)])
def test_the_tutorials_networks_have_the_parameters_of_the_registrys(model: str, parameters: int) -> None:
    assert sum(each.numel() for each in network(model).parameters()) == parameters  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["cnn", "lstm"])
def test_pytorchs_worker_prints_one_line(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["worker", to_json(replace(TASK, model=model, threads=threads))])  # type: ignore[arg-type]
    compete(TorchContender)
    line = json.loads(capsys.readouterr().out)
    assert line["train_samples_per_second"] > 0
    assert line["infer_samples_per_second"] > 0
    assert line["first_step_seconds"] > 1e9  # since 1970, where this task says that it began
    assert line["peak_bytes"] > 1e7
    assert line["versions"] == {"torch": torch.__version__}


def test_the_first_step_counts_once() -> None:
    first = FirstStep(started=0.0)
    first.done()
    seconds = first.seconds
    first.done()
    assert first.seconds == seconds
