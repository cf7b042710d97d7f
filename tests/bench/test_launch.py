"""The time to issue an operator, on a clock that the test winds."""

import itertools

import pytest
import torch

from rooflight.bench import launch

CPU = torch.device("cpu")


def test_launch_time_is_a_step_over_its_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that moves by a second whenever it is read, a block of 20 steps takes one second."""
    ticks = itertools.count()
    monkeypatch.setattr(launch, "perf_counter", lambda: float(next(ticks)))
    found = launch.launch_time(CPU, blocks=3, calls=20)
    assert (found.unit, found.n) == ("s", 3)
    operators = 1 / (found.median * 20)
    # At least: forward 16, sum, backward 8 × (input and weight gradient, bias sum) but for the first input, optimizer.
    assert operators == pytest.approx(round(operators))
    assert 16 + 1 + 23 + 1 <= operators <= 120
