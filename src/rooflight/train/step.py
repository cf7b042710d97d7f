"""One update of the weights from one global batch, in as many micro-batches as memory asks for."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rooflight.core.errors import ResourceError
from rooflight.train.loss import Loss
from rooflight.train.memory import RunningStatistics, is_out_of_memory, release
from rooflight.train.optimizer import set_rates
from rooflight.train.ranks import Ranks
from rooflight.train.state import TrainState

Autocast = Callable[[], AbstractContextManager[object]]
ODD = 0x9E3779B97F4A7C15  # the golden ratio in 64 bits: seeds of neighbouring steps have nothing in common


class Done(NamedTuple):
    """What a step gave, on the device: reading it makes the host wait."""

    loss: Tensor  # sum over this rank's samples
    weight: Tensor | int  # the loss's mean is loss / weight
    correct: Tensor

    @property
    def mean(self) -> Tensor:
        """The loss of a sample."""
        return self.loss / self.weight


@dataclass(slots=True, kw_only=True)
class Step:
    """How a batch becomes an update."""

    loss: Loss
    autocast: Autocast
    rate_share: Callable[[int], float]  # step → share of the highest learning rate
    ranks: Ranks
    seed: int
    clip: float = 0.0
    micro_batch: int | None = None  # samples of this rank at once; None: all
    on_halved: Callable[[int], None] = lambda samples: None  # told the new micro-batch when memory did not suffice
    statistics: RunningStatistics = field(default_factory=RunningStatistics)

    def __call__(self, state: TrainState, inputs: Any, targets: Tensor) -> Done:
        """Forward, loss, backward of each micro-batch; then clip, update, average.

        Nothing of the state changes before all gradients are there: out of memory anywhere before, the micro-batch is
        halved on all ranks and the same step begins again, with the same samples, draws and random numbers.

        raises  ResourceError if not even one sample fits
        """
        self.statistics.keep(state.model)
        while True:
            self.reseed(state)
            # The exception is let go of before memory is released: its frames hold the failed step's tensors.
            done = self.gradients(state, inputs, targets)
            if not self.ranks.agree(done is None):
                assert done is not None
                break
            state.optimizer.zero_grad(set_to_none=True)
            self.statistics.restore()
            release(state.device)
            self._halve(len(targets))
        set_rates(state.optimizer, self.rate_share(state.place.step))
        self.update(state)
        if state.ema:
            state.ema.update(state.place.step + 1)
        return done

    def reseed(self, state: TrainState) -> None:
        """Dropout's generator, from the place alone."""
        _seed(self.seed, state.place.step, self.ranks.rank, state.device)

    def gradients(self, state: TrainState, inputs: Any, targets: Tensor) -> Done | None:
        """The gradient of the global batch's mean loss; None if memory did not suffice."""
        try:
            own = self.loss.weight(targets)
            weight = self.ranks.total(own)
            loss = torch.zeros((), device=state.device)
            correct = torch.zeros((), dtype=torch.int64, device=state.device)
            parts = list(_micro_batches(inputs, targets, self.micro_batch))
            for number, (some, of) in enumerate(parts, 1):
                with self.ranks.no_sync(state.model) if number < len(parts) else nullcontext():
                    with self.autocast():
                        scores = state.model(some)
                        part = self.loss.summed(scores, of)
                    state.scaler.scale(part * (self.ranks.replicas / weight)).backward()
                loss += part.detach()
                correct += count_correct(scores.detach(), of)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None
        return Done(loss=loss, weight=own, correct=correct)

    def update(self, state: TrainState) -> None:
        """Clip and apply the gradients, at the rates that are set."""
        if self.clip:
            state.scaler.unscale_(state.optimizer)
            self.ranks.clip(state.model.parameters(), self.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)

    def _halve(self, samples: int) -> None:
        now = min(self.micro_batch or samples, samples)
        if now <= 1:
            raise ResourceError(
                "out of memory with one sample at a time. Try a smaller model or input, --dtype bfloat16, or a GPU "
                "with more memory: rooflight plan names them."
            )
        self.micro_batch = now // 2
        self.on_halved(self.micro_batch)


def count_correct(scores: Tensor, targets: Tensor) -> Tensor:
    """How many of (n, classes) scores are highest at their label; 0 where the targets are no labels."""
    if targets.is_floating_point() or scores.dim() != targets.dim() + 1:
        return torch.zeros((), dtype=torch.int64, device=scores.device)
    return (scores.argmax(1) == targets).sum()


def _micro_batches(inputs: Any, targets: Tensor, size: int | None) -> Iterator[tuple[Any, Tensor]]:
    """Pieces of at most `size` samples of every tensor of the inputs."""
    if size is None or size >= len(targets):
        yield inputs, targets
        return
    for first in range(0, len(targets), size):
        chosen = slice(first, first + size)
        yield pytree.tree_map(lambda tensor, chosen=chosen: tensor[chosen], inputs), targets[chosen]


def _seed(seed: int, step: int, rank: int, device: torch.device) -> None:
    """The device's own generator: seeding all takes longer."""
    number = (seed * ODD + step * 0xD1B54A32D192ED03 + rank) % 2**63
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)
