"""Seconds of a step on several GPUs: the step of one, and what the GPUs tell each other beside it.

A ring moves 2·(n − 1) / n of an all-reduce's bytes over every link, and half of that for an all-gather.
source  Patarasuk, Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69(2), 2009
"""

from dataclasses import dataclass

from rooflight.core.types import GpuSpec
from rooflight.estimate.step import Step

# Shares of a wire that NCCL's rings reach with long messages: NCCL 2.27 to 2.29 on A100, H100, H200 and B200 for NVLink
# (0.64 with 2 GPUs to 0.78 with 8), on RTX PRO 6000 for PCIe (catalogue/collectives.csv).
NVLINK_SHARE = 0.72
PCIE_SHARE = {2: 0.6}  # of two GPUs; more of them share the way through the host
PCIE_SHARE_OF_MORE = 0.4

NODE = 8  # GPUs that share a host, as these machines are sold
NETWORK_BYTES_PER_SECOND = 25e9  # per GPU: one 200 Gbit/s adapter for each, as in HGX and DGX machines

# A collective has a start that no overlap hides: NCCL's latency for short messages, per step of the ring
HOP_SECONDS = 4e-6

# Copying the modules to one GPU over running them once: torchvision's models on 2 to 4 GPUs (calibration rows)
REPLICATING = 0.6

# What of backward a bucketed all-reduce can hide behind: the last bucket waits for the first layer's gradients
HIDING = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """GPUs that work on one step together.

    how  "threads": nn.DataParallel, one process; "processes": DistributedDataParallel; "sharded": FSDP, ZeRO-3
    """

    gpus: int
    how: str


def bus_bytes_per_second(spec: GpuSpec, gpus: int) -> float:
    """What a ring over so many of these GPUs moves per GPU and direction."""
    # A bridge between two cards is sold apart: it is not taken to be there.
    wired = [link for link in spec.links if link.devices is not None and "bridge" not in link.name]
    joined = [link.bytes_per_second for link in wired if (link.devices or 0) >= min(gpus, NODE)]
    hosts = [link.bytes_per_second for link in spec.links if link.devices is None]
    pcie = PCIE_SHARE.get(gpus, PCIE_SHARE_OF_MORE)
    within = max([NVLINK_SHARE * rate for rate in joined] + [pcie * rate for rate in hosts], default=6e9)
    return min(within, NVLINK_SHARE * NETWORK_BYTES_PER_SECOND) if gpus > NODE else within


def ring_seconds(moved_bytes: float, gpus: int, bus: float, *, rounds: int) -> float:
    """One collective: rounds 2 for an all-reduce, 1 for an all-gather or reduce-scatter."""
    return rounds * (gpus - 1) * (moved_bytes / gpus / bus + HOP_SECONDS) if gpus > 1 else 0.0


def gang_seconds(one: Step, gang: Gang, spec: GpuSpec, *, gradient_bytes: float, parameter_bytes: float) -> float:
    """Seconds of the step when each GPU has its own batch.

    gradient_bytes   what an all-reduce adds up; 0: the step has no backward
    parameter_bytes  the weights, in the dtype in which they are gathered or copied
    """
    if gang.gpus == 1:
        return one.seconds
    bus = bus_bytes_per_second(spec, gang.gpus)
    if gang.how == "threads":
        return _threads(one, gang.gpus, spec, gradient_bytes=gradient_bytes, parameter_bytes=parameter_bytes)
    if gang.how == "sharded":
        rounds = 3 if gradient_bytes else 1  # gathered forward and backward, gradients scattered
        moved = rounds * ring_seconds(parameter_bytes, gang.gpus, bus, rounds=1)
        return max(one.seconds, moved) + 0.1 * min(one.seconds, moved)
    reduced = ring_seconds(gradient_bytes, gang.gpus, bus, rounds=2)
    return one.seconds + max(reduced - HIDING * one.backward_seconds, (1 - HIDING) * reduced)


def _threads(one: Step, gpus: int, spec: GpuSpec, *, gradient_bytes: float, parameter_bytes: float) -> float:
    """nn.DataParallel: every step copies the weights to all GPUs and the gradients back to the first.

    Forward is Python, and its threads take turns at the lock: the host copies the modules for every GPU, which takes
    some of what running them does, and issues the operators of all GPUs one after the other. Backward is C++, one
    thread each.
    """
    copied = (parameter_bytes + gradient_bytes) / bus_bytes_per_second(spec, gpus)
    recorded = one.host_seconds - one.host_backward_seconds - one.host_plain_seconds
    forward = max(one.gpu_seconds - one.backward_seconds, (1 + REPLICATING) * gpus * one.host_plain_seconds + recorded)
    backward = max(one.backward_seconds, one.host_backward_seconds)
    return max(forward + backward, one.seconds) + copied
