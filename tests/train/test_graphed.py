"""A captured step does what the eager one does. Without a GPU the capture is kept and called."""

import pytest
import torch
from torch import Tensor, nn

from rooflight.core.training import TrainConfig
from rooflight.train.fit import build_state
from rooflight.train.graphed import WARM_UP, Body, Graphed
from rooflight.train.state import TrainState
from tests.train.test_step import LABELS, batch, network, step_of


def state_of(model: nn.Module, device: torch.device, *, capturable: bool) -> TrainState:
    config = TrainConfig(lr=0.05, ema=0.9)
    return build_state(model.to(device), config, dtype=torch.float32, capturable=capturable)


def batches(device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """The fifth is smaller, as the last of an epoch is."""
    whole = [(batch() + number, LABELS.roll(number)) for number in range(7)]
    whole[4] = (whole[4][0][:4], whole[4][1][:4])
    return [(inputs.to(device), labels.to(device)) for inputs, labels in whole]


def trained(step: object, state: TrainState, device: torch.device) -> list[float]:
    losses = []
    for inputs, labels in batches(device):
        losses.append(float(step(state, inputs, labels, len(labels)).mean))  # type: ignore[operator]
        state.advance(len(labels))
    return losses


def test_it_captures_once_and_repeats_the_eager_step() -> None:
    captured: list[Body] = []

    def keep(body: Body) -> Body:
        captured.append(body)
        return body

    device = torch.device("cpu")
    eager = state_of(network(nn.Dropout(0.2)), device, capturable=False)
    expected = trained(step_of(None), eager, device)
    # PyTorch captures the optimizer on a GPU alone; a rate that is a number is as good where nothing is captured.
    state = state_of(network(nn.Dropout(0.2)), device, capturable=False)
    graphed = Graphed(step_of(None), capture=keep)
    assert trained(graphed, state, device) == expected
    assert len(captured) == 1
    assert graphed.eager_steps == WARM_UP + 1  # and the small batch
    for own, other in zip(state.weights().values(), eager.weights().values(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.gpu
def test_a_cuda_graph_repeats_the_eager_step() -> None:
    device = torch.device("cuda")
    eager = state_of(network(), device, capturable=False)
    expected = trained(step_of(None), eager, device)
    state = state_of(network(), device, capturable=True)
    assert trained(Graphed(step_of(None)), state, device) == pytest.approx(expected, rel=1e-5)
