"""A loss that is no number, or jumps, stops the run at the samples that did it."""

import numpy as np
import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.train.guard import SETTLED, Guard
from rooflight.train.state import Place


def guard(spike: float = 0.0) -> Guard:
    order = np.arange(1000)[::-1]
    return Guard(
        torch.device("cpu"), spike=spike, samples_of=lambda place, count: order[place.samples : place.samples + count]
    )


def test_the_step_and_its_samples_are_named() -> None:
    watched = guard()
    watched.see(Place(epoch=2, samples=0, step=10), 3, torch.tensor(1.0), 1)
    with pytest.raises(ConfigError, match=r"epoch 2, step 12, samples 996, 995, 994\. Try"):
        watched.see(Place(epoch=2, samples=3, step=11), 3, torch.tensor(float("nan")), 1)


def test_losses_wait_on_a_gpu_and_the_first_bad_one_is_named() -> None:
    watched = guard()
    watched.every = 5
    for number, loss in enumerate([1.0, float("inf"), 2.0, float("nan")]):
        watched.see(Place(samples=2 * number, step=number), 2, torch.tensor(loss), 1)
    with pytest.raises(ConfigError, match=r"step 2, samples 997, 996"):
        watched.check()


def test_a_jump_is_one_only_once_the_mean_has_settled() -> None:
    watched = guard(spike=5.0)
    watched.see(Place(), 1, torch.tensor(1.0), 1)
    watched.see(Place(step=1), 1, torch.tensor(20.0), 1)
    for number in range(2, SETTLED + 200):
        watched.see(Place(step=number), 1, torch.tensor(1.0), 1)
    watched.see(Place(step=300), 1, torch.tensor(4.0), 1)
    with pytest.raises(ConfigError, match=r"jumped from about 1\.\d+ to 9 in epoch 1, step 302.*--spike 5"):
        watched.see(Place(step=301), 1, torch.tensor(9.0), 1)
