"""`rooflight.fit`: models and data that are there in Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import rooflight
from rooflight.core.errors import ConfigError, DataError, ShapeError

ROWS = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
SIDES = (ROWS.sum(1) > 0).long()
QUICK = {"epochs": 6, "lr": 0.02, "batch": 32, "dtype": "float32", "device": "cpu", "progress": False}


def network(outputs: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs))


def test_three_lines_train_the_model_in_place() -> None:
    model = network(2)
    before = model[0].weight.detach().clone()
    fitted = rooflight.fit(model, (ROWS, SIDES), **QUICK)
    assert fitted.accuracy is not None
    assert fitted.accuracy > 0.9  # guessing gives 0.5
    assert len(fitted.records) == 6
    assert not torch.equal(model[0].weight, before)
    shares = fitted.predict(ROWS)
    assert torch.allclose(shares.sum(1), torch.ones(400))
    assert torch.allclose(shares, model.eval()(ROWS).softmax(1).detach(), atol=1e-6)


def test_values_have_a_loss_and_no_accuracy(tmp_path: Path) -> None:
    targets = ROWS @ torch.arange(6.0)
    fitted = rooflight.fit(network(1), (ROWS.numpy(), targets.numpy()), out=tmp_path / "run", **QUICK)
    assert fitted.accuracy is None
    assert fitted.loss < float(targets.var())  # better than the mean
    assert fitted.predict(ROWS).shape == (400, 1)
    assert (tmp_path / "run/result.json").is_file()


def test_probabilities_a_tuple_and_a_single_logit_are_turned_into_scores() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(2)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner(x), x

    for model in (
        nn.Sequential(*network(2), nn.Softmax(1)),
        Two(),
        network(1),
        nn.Sequential(*network(1), nn.Sigmoid()),
    ):
        fitted = rooflight.fit(model, TensorDataset(ROWS, SIDES), **QUICK)
        assert fitted.accuracy is not None
        assert fitted.accuracy > 0.9


def test_an_own_loss_is_what_is_made_small() -> None:
    def absolute(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets).abs().mean()

    model = network(1)
    fitted = rooflight.fit(model, (ROWS, ROWS.sum(1)), loss=absolute, **QUICK)
    assert fitted.loss < 0.5 * float(ROWS.sum(1).abs().mean())


@pytest.mark.parametrize(
    ("model", "data", "error", "words"),
    [
        (network(3), (ROWS, SIDES), ShapeError, "gives 3 scores, the data has 2 classes"),
        (nn.Linear(5, 2), (ROWS, SIDES), ShapeError, "does not take a sample"),
        (nn.Flatten(), (ROWS, SIDES), ConfigError, "no parameter that is trained"),
        (network(2), (ROWS, SIDES[:9]), DataError, "of samples with"),
        (network(2), (ROWS * float("nan"), SIDES), DataError, "no finite number"),
        ("a word", (ROWS, SIDES), ConfigError, "torch.nn.Module or a keras.Model"),
        (network(2), 7, ConfigError, "fit takes"),
    ],
    ids=["classes", "shape", "frozen", "lengths", "nan", "no model", "no data"],
)
def test_a_mistake_is_one_sentence(model: object, data: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rooflight.fit(model, data, **QUICK)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, rooflight; assert not {'torch', 'numpy', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_arrays_are_not_written_to() -> None:
    rows, sides = np.ones((50, 6), np.float32), np.arange(50) % 2
    rooflight.fit(network(2), (rows, sides), **{**QUICK, "epochs": 1})
    assert (rows == 1).all()
