"""Generation against the naive loop, and streams that do not depend on each other."""

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rooflight.deploy import generate as module
from rooflight.deploy.generate import RESERVED, choose, fold, generate

CPU = torch.device("cpu")
V, H = 40, 12
PROMPT = [5, 9, 17]
Cell = Literal["lstm", "gru"]


class Text(nn.Module):
    """As models/lstm.py has it: rooms do not meet in each other's tests either."""

    def __init__(self, cell: Cell, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.recurrent = (nn.LSTM if cell == "lstm" else nn.GRU)(H, H, num_layers=layers, batch_first=True)
        self.head = nn.Linear(H, V)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.recurrent(self.embedding(x))[0][:, -1])
        return scores


def text(cell: Cell, layers: int) -> Text:
    """Weights three times as large as drawn, so that the most probable token is far ahead of the next."""
    torch.manual_seed(0)
    model = Text(cell, layers).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(3)
    return model


def naive(model: Text, tokens: int) -> list[int]:
    """The whole text anew for each token."""
    ids = list(PROMPT)
    for _ in range(tokens):
        scores = model(torch.tensor([ids]))[0]
        scores[:RESERVED] = -torch.inf
        ids.append(int(scores.argmax()))
    return ids[len(PROMPT) :]


@pytest.fixture(params=["compiled", "plain"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    return str(request.param)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_at_temperature_0_it_is_the_naive_loop(cell: Cell, layers: int, backend: str) -> None:
    model = text(cell, layers)
    folded = fold(model.state_dict(), cell=cell, layers=layers, device=CPU)
    found = generate(folded, PROMPT, tokens=40, temperature=0, streams=3, seed=0)
    assert ("numba is not installed" in found.how) == (backend == "plain")
    for row in found.ids.tolist():
        assert row == naive(model, 40)


def test_a_stream_does_not_depend_on_how_many_there_are(backend: str) -> None:
    folded = fold(text("lstm", 2).state_dict(), cell="lstm", layers=2, device=CPU)
    many = generate(folded, PROMPT, tokens=50, temperature=0.8, streams=7, seed=3).ids
    few = generate(folded, PROMPT, tokens=50, temperature=0.8, streams=2, seed=3).ids
    assert np.array_equal(many[:2], few)
    assert len({tuple(row) for row in many.tolist()}) == 7
    assert many.min() >= RESERVED
    other = generate(folded, PROMPT, tokens=50, temperature=0.8, streams=2, seed=4).ids
    assert not np.array_equal(few, other)


def test_both_ways_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    folded = fold(text("gru", 1).state_dict(), cell="gru", layers=1, device=CPU)
    compiled = generate(folded, PROMPT, tokens=60, temperature=1.3, streams=4, seed=1).ids
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert np.array_equal(generate(folded, PROMPT, tokens=60, temperature=1.3, streams=4, seed=1).ids, compiled)


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    scores = torch.tensor([-torch.inf, 0.0, 1.0, 2.0]).expand(4000, 4)
    draws = (torch.arange(4000).double() + 0.5) / 4000
    shares = torch.bincount(choose(scores, draws, 0.5), minlength=4) / 4000
    expected = (torch.tensor([-torch.inf, 0.0, 1.0, 2.0]) / 0.5).softmax(0)
    assert (shares - expected).abs().max() < 1e-3
