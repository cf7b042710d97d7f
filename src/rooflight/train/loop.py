"""The training loop."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rooflight.train.state import Place, TrainState
from rooflight.train.step import Done


class EpochBatches(Protocol):
    """Anything that yields the mini-batches of an epoch, the same ones for the same epoch."""

    def __len__(self) -> int:
        """Steps in an epoch."""

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The numbers of the epoch's samples, in the order that they are trained on."""

    def epoch(self, epoch: int, *, start: int = 0) -> Iterable[tuple[Any, Tensor]]:
        """(inputs, targets) of this rank on the model's device, from place `start` of the order on."""


def train_epochs(
    state: TrainState,
    batches: EpochBatches,
    step: Callable[[TrainState, Any, Tensor, int], Done],
    *,
    epochs: int,
    batch: int,
    on_step: Callable[[Place, int, Done], None],
    on_epoch: Callable[[], bool],
) -> None:
    """From the state's place to the end of the last epoch. Watching and saving are the callbacks' affair.

    batch     samples of a step, of all ranks together
    on_step   called after each step is issued, with the place before it and its samples
    on_epoch  called after each epoch, while `state` holds its sums; False ends the run
    """
    while state.place.epoch <= epochs:
        state.model.train()
        for inputs, targets in batches.epoch(state.place.epoch, start=state.place.samples):
            before, samples = state.place, min(batch, batches.samples - state.place.samples)
            done = step(state, inputs, targets, samples)
            state.totals.loss += done.loss
            state.totals.weight += done.weight
            state.totals.correct += done.correct
            state.advance(samples)
            on_step(before, samples, done)
        if not on_epoch():
            break
