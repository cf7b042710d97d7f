"""Stages of a pipeline: where the model is cut, and how long each stage takes.

One forward, one backward in turn (1F1B): m micro-batches through p stages take m + p − 1 turns of the slowest one, so
that the bubble is (p − 1) / m of the work; v pieces per stage, far apart, make it (p − 1) / (v · m).

source  Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters Using Megatron-LM", SC 2021
"""

import numpy as np

from rooflight.core.parallel import Parallel
from rooflight.estimate.layout import Layout
from rooflight.estimate.pace import Pace
from rooflight.estimate.table import Array


def blocks_of_stages(blocks: int, stages: int) -> list[int]:
    """How many blocks each stage has. What does not divide goes to the middle: the ends have embedding and head."""
    counts = [blocks // stages] * stages
    middle = sorted(range(stages), key=lambda stage: abs(stage - (stages - 1) / 2))
    for stage in middle[: blocks % stages]:
        counts[stage] += 1
    return counts


def stage_bounds(own: Pace, found: Layout, form: Parallel) -> Array:
    """Shares of the model at which its stages begin and end, from 0 to 1. With pieces far apart, of their sum."""
    if form.pipeline == 1:
        return np.array([0.0, 1.0])
    last = np.cumsum(blocks_of_stages(found.blocks, form.pipeline))[:-1] - 1
    return np.array([0.0, *(own.forward[0][1 + found.ends[block]] for block in last), 1.0])


def stage_seconds(own: Pace, bounds: Array, talks: list[float]) -> Array:
    """(stages, 2): forward and backward seconds of each stage for one micro-batch, with its part of `talks`.

    talks   seconds of what the ranks of a tensor-parallel group exchange, forward and backward, over the whole model
    """
    forward, backward = own.forward_until(bounds), own.backward_until(1.0 - bounds)
    forward[0], forward[-1] = 0.0, own.forward_seconds
    backward[0], backward[-1] = own.backward_seconds, 0.0
    work = np.stack((np.diff(forward), -np.diff(backward)), axis=1)
    return work + np.array(talks) / (len(bounds) - 1)
