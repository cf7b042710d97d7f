"""Stops a run whose loss is no number or has jumped, and says at which samples."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.train.state import Place

READ_EVERY = 64  # steps on a GPU: reading a loss makes the host wait
MEMORY = 0.98  # of the running mean, about the last 50 steps
SETTLED = 50  # losses before the mean is trusted
SHOWN = 8  # sample numbers in a sentence


class Guard:
    """Sees every step's loss, and reads them now and then."""

    def __init__(
        self,
        device: torch.device,
        *,
        spike: float,
        samples_of: Callable[[Place, int], NDArray[np.int64]],
        total: Callable[[Tensor], Tensor] = lambda own: own,
    ) -> None:
        """spike: how many times the running mean is too much; 0: any number will do

        samples_of  a step's place before it and its size → the numbers of its samples
        total       the sum over all ranks, which then stop together
        """
        self.every = READ_EVERY if device.type == "cuda" else 1
        self.spike, self.samples_of, self.total = spike, samples_of, total
        self.mean, self.seen = 0.0, 0
        self.waiting: list[tuple[Place, int, Tensor, Tensor | int]] = []

    def see(self, place: Place, samples: int, loss: Tensor, weight: Tensor | int = 1) -> None:
        """A step that began at `place`: this rank's loss is the sum `loss` over `weight`."""
        self.waiting.append((place, samples, loss, weight))
        if len(self.waiting) >= self.every:
            self.check()

    def check(self) -> None:
        """Read what has not been read: at an epoch's end, and before weights are saved.

        raises  ConfigError at a loss that is no number, or a jump
        """
        if not self.waiting:
            return
        sums = torch.stack([loss for *_, loss, _ in self.waiting])
        weights = torch.stack([torch.as_tensor(weight, device=sums.device) for *_, weight in self.waiting])
        sums, weights = self.total(torch.stack([sums, weights.to(sums.dtype)]))
        for (place, samples, *_), loss in zip(self.waiting, (sums / weights).tolist(), strict=True):
            if not math.isfinite(loss):
                raise ConfigError(f"the loss is no longer a number in {self._where(place, samples)}. Try a lower --lr.")
            if self.spike and self.seen >= SETTLED and loss > self.spike * self.mean:
                raise ConfigError(
                    f"the loss jumped from about {self.mean:.3g} to {loss:.3g} in {self._where(place, samples)}: more "
                    f"than --spike {self.spike:g}. Try a lower --lr, --clip 1, or look at those samples."
                )
            self.mean = loss if not self.seen else MEMORY * self.mean + (1 - MEMORY) * loss
            self.seen += 1
        self.waiting.clear()

    def _where(self, place: Place, samples: int) -> str:
        numbers = [str(number) for number in self.samples_of(place, samples)]
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        return f"epoch {place.epoch}, step {place.step + 1}, samples {', '.join(numbers[:SHOWN])}{more}"
