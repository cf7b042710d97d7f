"""A whole step as one CUDA graph: the host launches once what it launched hundreds of times."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rooflight.train.optimizer import set_rates
from rooflight.train.state import TrainState
from rooflight.train.step import Done, Step

WARM_UP = 3  # eager steps, in which cuBLAS, cuDNN and the optimizer make what they keep
Body = Callable[[], Done]


def capture(body: Body) -> Body:
    """What repeats the body's kernels on the memory that they had; its result is written anew each time."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        done = body()

    def replay() -> Done:
        graph.replay()
        return done

    return replay


class Graphed:
    """A step that is captured after a few eager ones. Batches of another size run eagerly.

    The optimizer must be capturable, its rates tensors. The average of the weights, whose decay changes, stays outside.
    """

    def __init__(self, step: Step, *, capture: Callable[[Body], Body] = capture) -> None:
        self.step, self.capture = step, capture
        self.eager_steps = 0
        self.replay: Body | None = None
        self.inputs: Any = None
        self.targets: Tensor | None = None

    def __call__(self, state: TrainState, inputs: Any, targets: Tensor, samples: int) -> Done:
        """As Step does it."""
        fits = self.targets is None or self.targets.shape == targets.shape
        if self.eager_steps < WARM_UP or not fits:
            self.eager_steps += 1
            return self.step(state, inputs, targets, samples)
        set_rates(state.optimizer, self.step.rate_share(state.place.step))
        if self.replay is None:
            self.inputs, self.targets = pytree.tree_map(torch.clone, inputs), targets.clone()
            self.replay = self.capture(lambda: self._body(state, samples))
        assert self.targets is not None
        for kept, new in zip(pytree.tree_leaves(self.inputs), pytree.tree_leaves(inputs), strict=True):
            kept.copy_(new)
        self.targets.copy_(targets)
        self.step.reseed(state)  # a graph reads its generator's seed when it is replayed
        # What is read later must not be what the next replay writes.
        found = self.replay()
        done = Done(loss=found.loss.clone(), weight=found.weight, correct=found.correct.clone())
        if state.ema:
            state.ema.update(state.place.step + 1)
        return done

    def _body(self, state: TrainState, samples: int) -> Done:
        assert self.targets is not None
        done = self.step.gradients(state, self.inputs, self.targets, samples)
        if done is None:
            raise torch.OutOfMemoryError("out of memory while the step was captured: try --compile off")
        self.step.update(state)
        return done
