"""The layout changes speed, never the answer."""

import copy

import pytest
import torch
from torch import nn

from rooflight.models.cnn import Cnn
from rooflight.train.layout import prepare

CPU = torch.device("cpu")


def gradients(model: nn.Module) -> tuple[torch.Tensor, list[torch.Tensor]]:
    images = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    scores = model(images)
    nn.functional.cross_entropy(scores, torch.arange(6)).backward()
    return scores.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def test_onednns_layout_gives_the_same_scores_and_gradients() -> None:
    plain = Cnn()
    prepared, why = prepare(copy.deepcopy(plain), CPU, torch.float32)
    assert "oneDNN" in why
    (scores, expected), (found, grads) = gradients(plain), gradients(prepared)
    assert torch.allclose(found, scores, atol=1e-5)
    for ours, theirs in zip(grads, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_it_is_used_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = prepare(Cnn(), CPU, torch.float32)
    seen: list[bool] = []
    model.get_submodule("features.0").register_forward_hook(lambda layer, inputs, output: seen.append(output.is_mkldnn))
    model(torch.zeros(2, 1, 28, 28))
    model.eval()(torch.zeros(2, 1, 28, 28))
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("model", "dtype"),
    [(Cnn(), torch.bfloat16), (nn.Sequential(nn.Conv2d(4, 4, 3)), torch.float32)],
    ids=["bf16", "flat"],
)
def test_elsewhere_it_is_channels_last(model: nn.Module, dtype: torch.dtype) -> None:
    prepared, why = prepare(model, CPU, dtype)
    assert "channels last" in why
    convolution = next(layer for layer in prepared.modules() if isinstance(layer, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
