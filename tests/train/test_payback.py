"""Compiling is chosen when it pays back within the run, and the reason says when."""

import pytest
import torch
from torch import nn

from rooflight.core.errors import BackendError, ConfigError
from rooflight.core.training import TrainConfig
from rooflight.train.compiled import require_compiler
from rooflight.train.find_lr import find_lr
from rooflight.train.loss import CrossEntropy
from rooflight.train.payback import Trial, choose, decide
from tests.train.test_fit import Stripes

EAGER = Trial(way="off", seconds=0.010, start_seconds=0.03)
COMPILED = Trial(way="on", seconds=0.006, start_seconds=20.0)
GRAPHS = Trial(way="graphs", seconds=0.005, start_seconds=1.0)


def test_the_break_even_step_decides() -> None:
    long = decide((EAGER, COMPILED), 10_000)
    assert long.way == "on"
    assert "10 ms eager, 6 ms compiled; compiling took 20 s and pays back after 5,000 steps of 10,000" in long.reason
    short = decide((EAGER, COMPILED), 4_000)
    assert short.way == "off"
    assert "pays back after 5,000 steps, the run has 4,000" in short.reason


def test_the_least_time_over_the_run_wins() -> None:
    assert decide((EAGER, COMPILED, GRAPHS), 1_000_000).way == "graphs"
    assert decide((EAGER, Trial(way="on", seconds=0.004, start_seconds=20.0), GRAPHS), 1_000_000).way == "on"


def test_slower_is_never_chosen() -> None:
    slow = Trial(way="on", seconds=0.011, start_seconds=20.0)
    assert decide((EAGER, slow), 10**9).reason.startswith("compiled is no faster")


def test_a_short_run_tries_nothing() -> None:
    data = Stripes()
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    chosen = choose(model, *data.epoch(0)[0], TrainConfig(batch=16), dtype=torch.float32, steps=10)
    assert chosen.way == "off"
    assert "compiling alone" in chosen.reason
    assert [trial.way for trial in chosen.trials] == ["off"]


def test_recurrent_layers_are_left_to_their_library() -> None:
    chosen = choose(nn.LSTM(2, 2), None, torch.zeros(1), TrainConfig(), dtype=torch.float32, steps=10**9)
    assert (chosen.way, "cuDNN" in chosen.reason) == ("off", True)


def test_graphs_need_a_gpu() -> None:
    with pytest.raises(BackendError, match="graphs needs a GPU"):
        require_compiler(TrainConfig(compile="graphs"), torch.device("cpu"))


def test_the_rate_that_is_found_is_one_that_learns() -> None:
    torch.manual_seed(0)
    data, model = Stripes(), nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    before = [parameter.clone() for parameter in model.parameters()]
    config = TrainConfig(batch=16, optimizer="adam")
    found = find_lr(model, data, config, dtype=torch.float32, loss=CrossEntropy())
    assert 1e-3 <= found.lr <= 0.2
    rates = [rate for rate, _ in found.curve]
    assert rates == sorted(rates)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_loss_that_falls_at_no_rate_is_said() -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 2) + 0 * self.weight

    with pytest.raises(ConfigError, match=r"falls at no learning rate"):
        find_lr(Deaf(), Stripes(), TrainConfig(batch=16), dtype=torch.float32, loss=CrossEntropy())
