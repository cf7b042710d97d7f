"""Training: it learns, it is measured, it repeats, and it stops with a sentence."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.core.runs import EpochRecord
from rooflight.core.training import TrainConfig
from rooflight.train.evaluate import evaluate
from rooflight.train.fit import Hooks, fit
from rooflight.train.layout import prepare
from rooflight.train.precision import autocast_of
from rooflight.train.probe import probe_step


class Stripes:
    """8×8 images, dark above or dark below: two classes that a linear model tells apart."""

    def __init__(self, count: int = 64) -> None:
        self.batch = count // 4
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(count) % 2
        images = torch.randn(count, 1, 8, 8, generator=generator) * 0.1
        for index, label in enumerate(self.labels.tolist()):
            images[index, :, 4 * label : 4 * label + 4] += 1
        self.images = images

    def __len__(self) -> int:
        return 4

    @property
    def samples(self) -> int:
        return len(self.labels)

    def order(self, epoch: int) -> NDArray[np.int64]:
        return np.arange(len(self.labels))

    def epoch(self, epoch: int, *, start: int = 0) -> list[tuple[Tensor, Tensor]]:
        pairs = zip(self.images[start:].split(self.batch), self.labels[start:].split(self.batch), strict=True)
        return list(pairs)


def model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    return prepare(network, torch.device("cpu"), torch.bfloat16)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_it_learns_and_records(dtype: torch.dtype) -> None:
    data, seen, samples = Stripes(), [], []
    config = TrainConfig(epochs=3, batch=16, lr=0.01)
    result = fit(
        model(),
        data,
        data.epoch(0),
        config,
        dtype=dtype,
        classes=2,
        hooks=Hooks(on_step=lambda before, count, done: samples.append(count), on_epoch=seen.append),
    )
    assert result.evaluation.accuracy == 1.0
    assert result.evaluation.confusion == ((32, 0), (0, 32))
    assert sum(samples) == 3 * 64
    assert tuple(seen) == result.records
    assert [record.step for record in result.records] == [4, 8, 12]
    assert result.records[-1].train_loss < result.records[0].train_loss
    assert result.step_seconds == pytest.approx(16 / result.samples_per_second)
    assert 0 < result.first_step_seconds < result.records[0].seconds


def test_a_set_smaller_than_the_batch_is_one_small_step() -> None:
    data = Stripes(count=8)
    data_of_one = [(data.images, data.labels)]

    class OneStep(Stripes):
        def __len__(self) -> int:
            return 1

        def epoch(self, epoch: int, *, start: int = 0) -> list[tuple[Tensor, Tensor]]:
            return data_of_one

    result = fit(model(), OneStep(8), data_of_one, TrainConfig(epochs=2, batch=999), dtype=torch.float32, classes=2)
    assert result.steps == 2
    assert result.step_seconds == pytest.approx(8 / result.samples_per_second)


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    def weights(seed: int) -> Tensor:
        trained, data = model(seed), Stripes()
        fit(trained, data, data.epoch(0), TrainConfig(epochs=1, batch=16), dtype=torch.float32, classes=2)
        return torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
def test_the_learning_rate_follows_its_schedule(schedule: str) -> None:
    rates: list[float] = []
    data = Stripes()
    config = TrainConfig(epochs=5, batch=16, lr=0.01, schedule=schedule)  # type: ignore[arg-type]

    def watch(record: EpochRecord) -> None:
        rates.append(record.lr)

    fit(model(), data, data.epoch(0), config, dtype=torch.float32, classes=2, hooks=Hooks(on_epoch=watch))
    if schedule == "constant":
        assert rates == [0.01] * 5
    else:
        assert max(rates) == pytest.approx(0.01, rel=0.05)
        assert rates[-1] < 1e-4


def test_a_loss_that_is_no_number_stops_with_a_sentence() -> None:
    data = Stripes()
    data.images[3] = float("nan")
    with pytest.raises(ConfigError, match=r"no longer a number in epoch 1, step 1, samples 0, 1, 2.* lower --lr"):
        fit(model(), data, data.epoch(0), TrainConfig(epochs=2, batch=16), dtype=torch.float32, classes=2)


def test_evaluation_counts_every_sample_once() -> None:
    class Says(nn.Module):
        """Class 1 for whatever is above 0.5."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([0.5 - x, x - 0.5], dim=1) * 100

    batches = [(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0, 1, 0])), (torch.tensor([0.0]), torch.tensor([1]))]
    autocast = autocast_of(torch.device("cpu"), torch.float32)
    found = evaluate(Says(), batches, classes=2, autocast=autocast)
    assert found.confusion == ((1, 1), (1, 1))
    assert (found.accuracy, found.count) == (0.5, 4)
    assert found.loss == pytest.approx(50.0)  # two right at 0, two wrong at 100


def test_probing_a_step_leaves_the_model_alone() -> None:
    network, data = model(), Stripes()
    before = [parameter.clone() for parameter in network.parameters()]
    step, staying = probe_step(network, *data.epoch(0)[0], dtype=torch.float32)
    step()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    parameters = sum(parameter.nbytes for parameter in before)
    batch = sum(tensor.nbytes for tensor in data.epoch(0)[0])
    steps_of_adam = 4 * len(before)  # one float32 counter a parameter
    assert staying() == 3 * parameters + steps_of_adam + batch


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_it_learns_on_the_gpu(dtype: torch.dtype) -> None:
    data = Stripes()
    data.images, data.labels = data.images.cuda(), data.labels.cuda()
    network, _ = prepare(model(), torch.device("cuda"), dtype)
    result = fit(network, data, data.epoch(0), TrainConfig(epochs=3, batch=16, lr=0.01), dtype=dtype, classes=2)
    assert result.evaluation.accuracy == 1.0
