"""Seconds of one step on one GPU: the host issues operators, the GPU works them off, the later one is the step."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rooflight.estimate.arithmetic import PRODUCT_KINDS
from rooflight.estimate.device import Device
from rooflight.estimate.fusion import fuse
from rooflight.estimate.kernels import Kernels, kernels
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.table import Array, Mask, OpTable

# Host seconds to launch a CUDA graph without branches: 2.5 µs and about 1 ns a node on Ampere and later with CUDA 12.6
# (developer.nvidia.com/blog, "Constant Time Launch for Straight-Line CUDA Graphs", 2024; recalled). Not fitted.
GRAPH_SECONDS, NODE_SECONDS = 2.5e-6, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step, and what it is made of. by_bound adds up to the GPU's seconds.

    arithmetic_seconds, memory_seconds   how long the engines and the memory would work at the rates that they reach, if
                                         neither waited for the other: what the draw is made of
    """

    seconds: float
    gpu_seconds: float
    host_seconds: float
    backward_seconds: float  # of the GPU's
    host_backward_seconds: float
    host_plain_seconds: float  # forward as it would be without gradients
    by_bound: Mapping[str, float]
    arithmetic_seconds: float = 0.0
    memory_seconds: float = 0.0

    @property
    def bound_by(self) -> str:
        """What the largest share of the step waits for: "compute", "memory" or "launch"."""
        if self.host_seconds > self.gpu_seconds:
            return "launch"
        return max(self.by_bound, key=self.by_bound.__getitem__)


def step(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Step:
    """One step of a traced model on one GPU."""
    starts = np.ones(len(table), dtype=bool)
    if setting.compiled:
        fused = fuse(table)
        table, starts = fused.table, fused.starts
    return assemble(table, starts, kernels(table, gpu, setting, shares), setting, shares)


def assemble(table: OpTable, starts: Mask, busy: Kernels, setting: Setting, shares: Shares) -> Step:
    """The step of these operators, of which those in `starts` begin a kernel, from how long each keeps the GPU busy."""
    backward = table.phase("backward")
    worked = setting.slow_gpu * np.where(starts, busy.seconds, busy.seconds - busy.fixed)
    if setting.recomputes:
        worked[np.flatnonzero(backward)[:1]] += float(worked[table.phase("forward")].sum())
    again = 1.0 + table.phase("forward") * setting.recomputes
    issued = np.where(starts, issue_seconds(table, setting, shares), 0.0)
    copied = setting.slow_host * setting.host_input_bytes / shares["host_copy"]
    return Step(
        seconds=copied + _finish(issued, worked),
        gpu_seconds=float(worked.sum()),
        host_seconds=float(issued.sum()),
        backward_seconds=float(worked[backward].sum()),
        host_backward_seconds=float(issued[backward].sum()),
        host_plain_seconds=float(issued[table.phase("forward")].sum())
        / (shares["issue_grad"] if backward.any() else 1.0),
        by_bound=_by_bound(setting.slow_gpu * busy.fixed, busy, worked),
        arithmetic_seconds=float((again * busy.compute).sum()),
        memory_seconds=float((again * busy.memory).sum()),
    )


def _finish(issued: Array, worked: Array) -> float:
    """When the last kernel ends: each starts when it has been issued and the one before it has ended.

    end[i] = max(issued up to i, end[i − 1]) + worked[i], so the last end is the longest of all ways from host to GPU.
    """
    after = np.cumsum(worked[::-1])[::-1]
    return float((np.cumsum(issued) + after).max())


def issue_seconds(table: OpTable, setting: Setting, shares: Shares) -> Array:
    """Host seconds per operator: Python and the dispatcher forward, autograd's thread backward.

    Modules with weights cost more than a bare function: their own Python, autocast, cuDNN's descriptors and plans.
    """
    if setting.graphed:
        at_once = np.zeros(len(table))
        at_once[:1] = setting.slow_host * (GRAPH_SECONDS + len(table) * NODE_SECONDS)
        return at_once
    if setting.compiled:
        return np.full(len(table), setting.slow_host * shares["issue_compiled"])
    backward, trains = table.phase("backward"), bool(table.phase("backward").any())
    module = table.kind(*PRODUCT_KINDS, "normalization")
    seconds = np.where(module, shares["issue_module"], shares["issue_function"])
    seconds = np.where(
        backward, seconds * shares["issue_backward"], seconds * (shares["issue_grad"] if trains else 1.0)
    )
    # Each pass, forward and backward, has a beginning of its own: the loop, the loss, autograd; and waiting, if it
    # waits.
    begins = shares["issue_waiting"] if setting.waits else shares["issue_pass"]
    for phase in ("forward", "backward"):
        first = np.flatnonzero(table.phase(phase))[:1]
        seconds[first] += begins
    return seconds * setting.slow_host


def _by_bound(fixed: Array, busy: Kernels, worked: Array) -> Mapping[str, float]:
    arithmetic = busy.compute >= busy.memory
    moving = np.maximum(worked - fixed, 0.0)
    return {
        "compute": float(moving[arithmetic].sum()),
        "memory": float(moving[~arithmetic].sum()),
        "launch": float(np.minimum(fixed, worked).sum()),
    }
