"""The compiled steps against nn.LSTM: the same scores, gradients and weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.models.lstm import Lstm
from rooflight.train.layout import prepare

CPU = torch.device("cpu")


def gradients(model: nn.Module, x: Tensor, y: Tensor) -> list[Tensor]:
    """The loss, and every parameter's gradient."""
    model.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return [loss.detach(), *(parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("samples", "length", "units"), [(128, 20, 128), (5, 3, 33), (1, 1, 7)])
def test_gradients_are_those_of_pytorchs_lstm(layers: int, samples: int, length: int, units: int) -> None:
    pytest.importorskip("numba")
    torch.manual_seed(0)
    model = Lstm(50, 50, units, layers=layers)
    x, y = torch.randint(0, 50, (samples, length)), torch.randint(0, 50, (samples,))
    expected = gradients(model, x, y)
    assert "numba" in model.prepare_for(CPU, torch.float32)
    found = gradients(model, x, y)
    assert len(found) == len(expected) == 1 + 3 + 4 * layers
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-6


def test_the_compiled_steps_hold_at_the_ends_of_the_gates() -> None:
    pytest.importorskip("numba")
    torch.manual_seed(0)
    model = Lstm(50, 50, 16)
    with torch.no_grad():
        for parameter in model.recurrent.parameters():
            parameter.mul_(100)
    x, y = torch.randint(0, 50, (4, 10)), torch.randint(0, 50, (4,))
    expected = gradients(model, x, y)
    model.prepare_for(CPU, torch.float32)
    for one, other in zip(gradients(model, x, y), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_weights_are_pytorchs_by_name_and_the_same_for_both_forms() -> None:
    model = Lstm()
    names = {name: value.shape for name, value in model.state_dict().items()}
    assert names["recurrent.weight_ih_l0"] == (512, 128)
    assert sum(parameter.numel() for parameter in model.parameters()) == 389_096
    model.prepare_for(CPU, torch.float32)
    assert {name: value.shape for name, value in model.state_dict().items()} == names


def test_evaluation_is_pytorchs_own_and_agrees() -> None:
    pytest.importorskip("numba")
    torch.manual_seed(0)
    model, why = prepare(Lstm(50, 50, 16), CPU, torch.float32)
    assert "one pass over the gates" in why
    x = torch.randint(0, 50, (8, 12))
    trained = model(x).detach()
    with torch.inference_mode():
        assert torch.allclose(model.eval()(x), trained, atol=1e-6)


def test_a_second_backward_is_refused() -> None:
    pytest.importorskip("numba")
    model = Lstm(50, 50, 16)
    model.prepare_for(CPU, torch.float32)
    loss = model(torch.randint(0, 50, (2, 4))).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="taken already"):
        loss.backward()


def test_a_gru_and_bfloat16_go_by_pytorch() -> None:
    assert "by PyTorch" in Lstm(50, 50, 16, cell="gru").prepare_for(CPU, torch.float32)
    assert "by PyTorch" in Lstm(50, 50, 16).prepare_for(CPU, torch.bfloat16)
    model = Lstm(50, 50, 16, cell="gru", layers=2)
    assert isinstance(model.recurrent, nn.GRU)
    assert model(torch.randint(0, 50, (3, 7))).shape == (3, 50)
