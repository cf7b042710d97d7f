"""One update of the weights from one global batch, in as many micro-batches as memory asks for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rooflight.core.errors import ResourceError
from rooflight.train.loss import Loss
from rooflight.train.memory import RunningStatistics, release
from rooflight.train.optimizer import allocate_state, set_rates
from rooflight.train.ranks import Autocast, Part, Ranks
from rooflight.train.state import TrainState

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
    allocated: bool = False  # what the optimizer keeps, which otherwise appears in its first update

    def __call__(self, state: TrainState, inputs: Any, targets: Tensor, samples: int) -> Done:
        """Forward, loss, backward of each micro-batch; then clip, update, average.

        Nothing of the state changes before all gradients are there: out of memory anywhere before, the micro-batch is
        halved on all ranks and the same step begins again, with the same samples, draws and random numbers.

        samples  of all ranks together; `inputs` and `targets` are this rank's share
        raises   ResourceError if not even one sample fits
        """
        self.statistics.keep(state.model)
        rows = -(-samples // self.ranks.replicas)  # of the largest share
        while True:
            self.reseed(state)
            # The exception is let go of before memory is released: its frames hold the failed step's tensors.
            done = self.gradients(state, inputs, targets, rows)
            if not self.ranks.agree(done is None):
                assert done is not None
                break
            state.optimizer.zero_grad(set_to_none=True)
            self.statistics.restore()
            self.ranks.begin_again(state)
            release(state.device)
            self._halve(rows)
        set_rates(state.optimizer, self.rate_share(state.place.step))
        self.update(state)
        if state.ema:
            state.ema.update(state.place.step + 1)
        return done

    def reseed(self, state: TrainState) -> None:
        """Dropout's generator, from the place alone."""
        _seed(self.seed, state.place.step, self.ranks.rank, state.device)

    def gradients(self, state: TrainState, inputs: Any, targets: Tensor, rows: int) -> Done | None:
        """The gradient of the global batch's mean loss; None if memory did not suffice, here or on another rank."""
        try:
            if not self.allocated and not state.place.step:
                allocate_state(state.optimizer)  # now, while out of memory can still be mended
                self.allocated = True
            own = self.loss.weight(targets)
            weight = self.ranks.total(own)
            loss = torch.zeros((), device=state.device)
            correct = torch.zeros((), dtype=torch.int64, device=state.device)
            if self.ranks.stages > 1:
                state.scaler.scale(loss)  # its scale is made when it is first used, and only the last stage has a loss

            def measure(scores: Any, of: Tensor) -> Tensor:
                part = self.loss.summed(scores, of)
                loss.add_(part.detach())
                correct.add_(count_correct(scores.detach(), of))
                return state.scaler.scale(part * (self.ranks.replicas / weight))

            parts = _micro_batches(inputs, targets, self.ranks.parts(rows, self.micro_batch))
            self.ranks.backward(state.model, parts, measure, self.autocast)
            return Done(loss=self.ranks.last_stage(loss), weight=own, correct=self.ranks.last_stage(correct))
        except Exception as error:
            if not self.ranks.is_failure(error):
                raise
            return None

    def update(self, state: TrainState) -> None:
        """Clip and apply the gradients, at the rates that are set."""
        if self.clip or self.ranks.stages > 1:
            state.scaler.unscale_(state.optimizer)
            self.ranks.agree_on_overflow(state.scaler, state.optimizer)
        if self.clip:
            self.ranks.clip(state.model.parameters(), self.clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)

    def _halve(self, rows: int) -> None:
        now = -(-rows // self.ranks.parts(rows, self.micro_batch))
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


def _micro_batches(inputs: Any, targets: Tensor, count: int) -> list[Part]:
    """`count` pieces of every tensor of the inputs, alike in size but for a sample; some empty if there are too few."""
    if count == 1:
        return [(inputs, targets)]
    tensors, layout = pytree.tree_flatten(inputs)
    split = zip(*(tensor.tensor_split(count) for tensor in tensors), strict=True)
    return [
        (pytree.tree_unflatten(some, layout), of) for some, of in zip(split, targets.tensor_split(count), strict=True)
    ]


def _seed(seed: int, step: int, rank: int, device: torch.device) -> None:
    """The device's own generator: seeding all takes longer."""
    number = (seed * ODD + step * 0xD1B54A32D192ED03 + rank) % 2**63
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)
