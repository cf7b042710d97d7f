"""Collectives beside the work: when each can start, and what of it is left when the work is done.

One stream works, one communicates; a collective waits for what it sends and for the one before it.
"""

import numpy as np

from rooflight.core.parallel import Parallel
from rooflight.estimate.collectives import Group, seconds
from rooflight.estimate.fabric import Fabric
from rooflight.estimate.pace import Pace
from rooflight.estimate.table import Array

MIB = 2**20
# torch.nn.parallel.DistributedDataParallel: bucket_cap_mb, and dist._DEFAULT_FIRST_BUCKET_BYTES
FIRST_BUCKET_BYTES, BUCKET_BYTES = 1.0 * MIB, 25.0 * MIB
MOST_BUCKETS = 512  # of a model with hundreds of gigabytes of gradients: larger ones then, the same bytes

# Collectives take units and memory bandwidth from the work beside them: 18.9 % of its time on average over several GPUs
# and models (Lee et al., "Characterizing Compute-Communication Overlap in GPU-Accelerated Distributed Deep Learning",
# arXiv 2507.03114).
CONTENTION = 0.19

AHEAD = 2  # units that are gathered before they are needed: FSDP's limit_all_gathers


def buckets(gradient_bytes: float) -> Array:
    """Sizes of the buckets in the order in which backward fills them: the first is small, so that it starts early."""
    if gradient_bytes <= FIRST_BUCKET_BYTES:
        return np.array([gradient_bytes])
    rest = gradient_bytes - FIRST_BUCKET_BYTES
    count = int(min(np.ceil(rest / BUCKET_BYTES), MOST_BUCKETS))
    return np.array([FIRST_BUCKET_BYTES, *[rest / count] * count])


def slowed(work_seconds: float, talked_seconds: float, exposed_seconds: float, contention: float = CONTENTION) -> float:
    """How much longer the work takes when that much of the talk runs beside it, as a factor."""
    if not work_seconds:
        return 1.0
    hidden = min(max(0.0, talked_seconds - exposed_seconds), work_seconds)
    return 1.0 + contention * hidden / work_seconds


def reduced_beside(ready: Array, took: Array, work_seconds: float, *, contention: float = CONTENTION) -> float:
    """Seconds of a pass when bucket i is there at ready[i] and takes took[i], each after the one before it."""
    left = np.cumsum(took[::-1])[::-1]
    exposed = max(0.0, float((ready + left).max()) - work_seconds)
    factor = slowed(work_seconds, float(took.sum()), exposed, contention)
    return max(factor * work_seconds, float((factor * ready + left).max()))


def filled_at(pace: Pace, sizes: Array, seconds_until: Array, shares: Array) -> Array:
    """When each bucket is full: gradients come from the model's end, their bytes as its weights lie."""
    wanted = 1.0 - np.cumsum(sizes) / sizes.sum()  # share of the weights that is still to come
    place = 1.0 - np.interp(np.maximum(wanted, 0.0), pace.weights[1], pace.weights[0])
    filled: Array = np.interp(place, shares, seconds_until)
    return filled


def gathered_beside(
    units: Array, forward: Array, backward: Array, form: Parallel, fabric: Fabric, *, reduced: Array, stride: int
) -> float:
    """Seconds of one micro-batch whose weights are gathered unit after unit.

    units      bytes of each unit, whole, as they are gathered; reduced: as their gradients are scattered
    forward    seconds of the work of each; backward: of its gradients, () at inference
    source     torch.distributed.fsdp: forward and backward prefetch, at most two units ahead, gradients scattered on
               the same communicator; in groups, what is left is then added up over the groups
    """
    group = Group(ranks=form.shards, stride=stride)
    across = Group(ranks=form.data // form.shards, stride=stride * form.shards)
    gather = [seconds("all_gather", float(size), group, fabric) for size in units]
    scatter = [
        seconds("reduce_scatter", float(size), group, fabric)
        + seconds("all_reduce", float(size) / form.shards, across, fabric)
        for size in reduced
    ]
    alone = float(forward.sum() + backward.sum())
    talked = sum(gather) * (2 if len(backward) else 1) + sum(scatter)
    exposed = _streams(gather, scatter, forward, backward) - alone
    factor = slowed(alone, talked, exposed)
    return _streams(gather, scatter, factor * forward, factor * backward)


def _streams(gather: list[float], scatter: list[float], forward: Array, backward: Array) -> float:
    """When the last of two streams is done: one works on a unit when it is gathered, the other talks in order."""
    network = work = 0.0
    ends = [0.0] * AHEAD
    for unit, gathering in enumerate(gather):
        network = max(network, ends[-AHEAD]) + gathering
        work = max(work, network) + float(forward[unit])
        ends.append(work)
    if not len(backward):
        return work
    network = arrived = max(network, ends[-AHEAD]) + gather[-1]
    for unit in reversed(range(len(gather))):
        following = arrived
        if unit:
            network = following = max(network, ends[-AHEAD]) + gather[unit - 1]
        work = max(work, arrived) + float(backward[unit])
        ends.append(work)
        network = max(network, work) + scatter[unit]
        arrived = following
    return max(work, network)
