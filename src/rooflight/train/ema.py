"""An average of the weights over the steps, which often tests better than the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rooflight.train.optimizer import by_mesh

WARM_UP = 10  # the average follows quickly at first: after t steps its decay is at most (1 + t) / (10 + t)


class Ema:
    """average ← decay · average + (1 − decay) · weights, after each step.

    source  Polyak and Juditsky 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.average = {name: value.detach().clone() for name, value in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """step: updates of the weights so far, the one just done included."""
        decay = min(self.decay, (1 + step) / (WARM_UP + step))
        names = {id(weight): name for name, weight in self.weights.items()}
        for alike in by_mesh(self.weights.values()):
            averages = [self.average[names[id(weight)]] for weight in alike]
            torch._foreach_lerp_(averages, list[Tensor](alike), 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average while the body runs, and its own weights again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self.weights.items():
            own = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(own)

    def state(self) -> dict[str, Tensor]:
        """Name → average."""
        return dict(self.average)

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a state of the same model."""
        for name, value in self.average.items():
            value.copy_(state[name])
