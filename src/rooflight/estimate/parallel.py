"""Seconds of a step on several GPUs: one GPU's part of the work, and what the GPUs tell each other beside it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rooflight.core.parallel import Parallel
from rooflight.core.types import GpuSpec
from rooflight.estimate.collectives import Collective, Group, bus_bytes_per_second, seconds
from rooflight.estimate.fabric import Fabric, fabric
from rooflight.estimate.layout import Layout
from rooflight.estimate.overlap import buckets, filled_at, gathered_beside, reduced_beside
from rooflight.estimate.pace import Pace, added
from rooflight.estimate.pipeline import stage_bounds, stage_seconds
from rooflight.estimate.step import Step
from rooflight.estimate.table import Array
from rooflight.estimate.tensor import Exchange

# nn.DataParallel: random search for the least mean of |log error| over torchvision's models on 2 to 4 GPUs (331
# calibration rows that have a row of one GPU beside them), the step of one GPU taken as measured.
REPLICATING = 0.28  # copying the modules to one GPU over running them once
TAKING_TURNS = 0.5  # of the host's work backward, what a further GPU's thread adds to it
THREAD_SECONDS = 2.5e-3  # of a further GPU: its thread, its part of the batch, its results
COPY_SHARE = 0.55  # of a PCIe slot
COPIED_BACK = 1.27  # gradients' way back, which are added up too, over the weights' way there

UNIT_PARAMETERS = 1e8  # of a unit that FSDP gathers, where no blocks repeat: size_based_auto_wrap_policy's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What a model's ranks send each other of its parameters, in bytes of the whole model.

    gathered   in the dtype in which weights are gathered; 0: none are
    reduced    gradients, in the dtype in which they are added up; 0: the step has no backward
    parameters how many
    """

    gathered: float
    reduced: float
    parameters: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A step of all GPUs. working and waiting add up to the seconds.

    waiting      seconds of the busiest GPU by what it waits for: "tensor", "pipeline" (its neighbours), "bubble" (its
                 turn), "data" (gradients and weights of the other replicas)
    sent_bytes   by one GPU; between_bytes: of those, to other machines
    """

    seconds: float
    working: float
    waiting: Mapping[str, float]
    sent_bytes: float
    between_bytes: float


def shared_step(
    own: Pace,
    form: Parallel,
    joined: Fabric,
    weights: Weights,
    *,
    found: Layout,
    forward: Exchange,
    backward: Exchange,
    memory_bytes_per_second: float,
) -> Shared:
    """The step of a form, from the pace of one rank's part of a micro-batch.

    own        of the whole depth of the model: stages are cut out of it
    forward    what a tensor-parallel pass exchanges; backward: too
    """
    tensor = Group(ranks=form.tensor)
    talks = [each.count * seconds("all_reduce", each.message_bytes, tensor, joined) for each in (forward, backward)]
    bounds = stage_bounds(own, found, form)
    stages = stage_seconds(own, bounds, talks)
    message = forward.message_bytes / (form.tensor if form.sequence else 1)
    handed = seconds("send", message, Group(ranks=2, stride=form.tensor * form.data), joined)
    passes = 2 if own.backward_seconds else 1
    neighbours = passes * form.interleave * handed if form.pipeline > 1 else 0.0
    busiest = stages.sum(axis=1).max()
    pieces = (stages.sum(axis=1).sum() - busiest) / form.interleave
    hops = 2 * (form.pipeline - 1) * handed if form.pipeline > 1 else 0.0
    communicated, beside = _data(own, form, joined, weights, stages, bounds, found, memory_bytes_per_second)
    waiting = {
        "tensor": form.micro_batches * sum(talks) / form.pipeline,
        "pipeline": form.micro_batches * neighbours + hops,
        "bubble": float(pieces) if form.pipeline > 1 else 0.0,
        "data": communicated,
    }
    through = form.micro_batches * float(busiest) + waiting["pipeline"] + waiting["bubble"] + waiting["data"]
    updating = _updating(own, form)
    total = own.before_seconds + through + updating
    moved, between = _sent(form, joined, weights, forward, backward, message, passes)
    return Shared(
        seconds=total + beside,
        working=total + beside - sum(waiting.values()),
        waiting=waiting,
        sent_bytes=moved,
        between_bytes=between,
    )


def _updating(own: Pace, form: Parallel) -> float:
    """Seconds of the optimizer: a shard has fewer bytes, but as many operators to issue."""
    whole = own.optimizer_seconds / form.pipeline
    return max(whole / form.shards, min(whole, own.optimizer_issued_seconds / form.pipeline))


def _data(
    own: Pace,
    form: Parallel,
    joined: Fabric,
    weights: Weights,
    stages: Array,
    bounds: Array,
    found: Layout,
    memory_bytes_per_second: float,
) -> tuple[float, float]:
    """Seconds that replicas wait for each other, and that a GPU copies and its host issues for it."""
    if form.data == 1:
        return 0.0, 0.0
    share = form.tensor * form.pipeline
    group = Group(ranks=form.data, stride=form.tensor)
    if form.sharding == "parameters":
        waited, issued = _gathering(own, form, joined, weights, found)
        return form.micro_batches * waited, form.micro_batches * issued
    if not weights.reduced:
        return 0.0, 0.0
    sizes = buckets(weights.reduced / share)
    collective: Collective = "all_reduce" if form.sharding == "none" else "reduce_scatter"
    took = np.array([_reduced(collective, float(size), form, group, joined) for size in sizes])
    # The last micro-batch's gradients of the first stage, which is the last one done, come as its weights lie.
    scale = float(stages[0, 1]) / own.backward_seconds
    ready = filled_at(own, sizes, scale * own.backward[1], own.backward[0])
    exposed = reduced_beside(ready, took, float(stages[0, 1])) - float(stages[0, 1])
    issued, worked = own.backward_loads.issued / form.pipeline, own.backward_loads.worked / form.pipeline
    backward = own.backward_seconds / form.pipeline
    beside = 4.0 * weights.reduced / share / memory_bytes_per_second  # written into its bucket and read back: two each
    beside = added(worked, beside, backward)
    if form.sharding != "none":  # every rank updates its part, and gathers the others'
        exposed += seconds("all_gather", weights.gathered / share, Group(ranks=form.shards, stride=form.tensor), joined)
        # Plain replicas' buckets are issued by C++ from autograd's hooks; these, scattered and gathered, by Python.
        beside += added(issued, 2 * len(sizes) * own.collective_issue_seconds, backward)
    return exposed, beside


def _reduced(collective: Collective, size: float, form: Parallel, group: Group, joined: Fabric) -> float:
    """One bucket; in groups, the parts are then added up over the groups."""
    if form.sharding == "none" or form.shards == form.data:
        return seconds(collective, size, group, joined)
    inside = Group(ranks=form.shards, stride=form.tensor)
    across = Group(ranks=form.data // form.shards, stride=form.tensor * form.shards)
    return seconds("reduce_scatter", size, inside, joined) + seconds("all_reduce", size / form.shards, across, joined)


def _gathering(own: Pace, form: Parallel, joined: Fabric, weights: Weights, found: Layout) -> tuple[float, float]:
    """Seconds of a micro-batch beyond its work when weights are gathered block by block: waited, and of the host."""
    bounds = _units(own, found, weights.parameters)
    held = np.diff(np.interp(bounds, *own.weights), prepend=0.0)[1:]
    held[0] += own.weights[1][0]
    held = held / held.sum() / form.tensor
    forward = _between(own.forward_until(bounds), own.forward_seconds)
    back = _between(own.backward_until(1.0 - bounds[::-1]), own.backward_seconds)[::-1]
    trained = bool(own.backward_seconds)
    # Forward gathers each unit; backward gathers it again and scatters its gradients.
    turn = len(held) * own.collective_issue_seconds
    later = added(own.forward_loads.issued, turn, own.forward_seconds)
    later_back = added(own.backward_loads.issued, 2 * turn, own.backward_seconds) if trained else 0.0
    forward = forward + later / len(held)
    back = back + later_back / len(held)
    whole = gathered_beside(
        weights.gathered * held,
        forward,
        back if trained else np.zeros(0),
        form,
        joined,
        reduced=weights.reduced * held if trained else np.zeros(0),
        stride=form.tensor,
    )
    return whole - float(forward.sum() + back.sum() * trained), later + later_back


def _units(own: Pace, found: Layout, parameters: float) -> Array:
    """Shares of the model at which units end: its blocks, or pieces of like many parameters."""
    if found.blocks:
        return np.array([0.0, *(own.forward[0][1 + end] for end in found.ends[:-1]), 1.0])
    count = max(1, round(parameters / UNIT_PARAMETERS))
    return np.linspace(0.0, 1.0, count + 1)


def _between(moments: Array, total: float) -> Array:
    """Seconds between moments, of which the first is the beginning and the last the end."""
    moments = moments.copy()
    moments[0], moments[-1] = 0.0, total
    return np.diff(moments)


def _sent(
    form: Parallel,
    joined: Fabric,
    weights: Weights,
    forward: Exchange,
    backward: Exchange,
    message: float,
    passes: int,
) -> tuple[float, float]:
    """Bytes that one GPU sends in a step, in all and to other machines: as rings do."""

    def ring(size: float, ranks: int, turns: int) -> float:
        return turns * (ranks - 1) / ranks * size

    exchanged = forward.count * forward.message_bytes + backward.count * backward.message_bytes
    tensor = form.micro_batches * ring(exchanged, form.tensor, 2) / form.pipeline
    handed = form.micro_batches * passes * form.interleave * message if form.pipeline > 1 else 0.0
    share = form.tensor * form.pipeline
    if form.sharding == "parameters":
        times = form.micro_batches
        gathers = ring(weights.gathered / share, form.shards, passes)
        data = times * (gathers + ring(weights.reduced / share, form.shards, 1))
        data += times * ring(weights.reduced / share / form.shards, form.data // form.shards, 2)
    else:
        data = ring(weights.reduced / share, form.data, 2)
    tensor_away = tensor if Group(ranks=form.tensor).nodes(joined) > 1 else 0.0
    group = Group(ranks=form.data, stride=form.tensor)
    data_away = data / group.per_node(joined) if group.nodes(joined) > 1 else 0.0
    handed_away = handed if Group(ranks=2, stride=form.tensor * form.data).nodes(joined) > 1 else 0.0
    return tensor + handed + data, tensor_away + data_away + handed_away


def threads_seconds(one: Step, gpus: int, spec: GpuSpec, *, gradient_bytes: float, parameter_bytes: float) -> float:
    """nn.DataParallel: every step copies the weights to all GPUs and the gradients back to the first.

    Forward is Python, and its threads take turns at the lock: the host copies the modules for every GPU, which takes
    some of what running them does, and issues the operators of all GPUs one after the other. Backward is C++, one
    thread each, which hinder each other.
    """
    if gpus == 1:
        return one.seconds
    joined = fabric(spec)
    rate = COPY_SHARE * joined.bytes_per_second
    if joined.kind not in ("pcie", "host"):
        rate = bus_bytes_per_second(Group(ranks=gpus), joined)
    copied = (parameter_bytes + COPIED_BACK * gradient_bytes) / rate
    recorded = one.host_seconds - one.host_backward_seconds - one.host_plain_seconds
    forward = max(one.gpu_seconds - one.backward_seconds, (1 + REPLICATING) * gpus * one.host_plain_seconds + recorded)
    backward = max(one.backward_seconds, one.host_backward_seconds * (1 + TAKING_TURNS * (gpus - 1)))
    return max(forward + backward, one.seconds) + copied + THREAD_SECONDS * (gpus - 1)
