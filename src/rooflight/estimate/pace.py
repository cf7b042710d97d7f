"""How far a step has come at each moment on one GPU: what overlaps with it waits for that.

Progress is counted in FLOPs of the products: backward gives the gradients of the last layers first, so after a share x
of its FLOPs those of the last share x of the model are there.
"""

from dataclasses import dataclass

import numpy as np

from rooflight.estimate.arithmetic import PRODUCT_KINDS
from rooflight.estimate.device import Device
from rooflight.estimate.fusion import fuse
from rooflight.estimate.kernels import kernels
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.step import issue_seconds
from rooflight.estimate.table import Array, Mask, OpTable

COLLECTIVE_OPERATORS = 2  # that a gather or scatter of shards is on the host: laying out its buffer, and itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Seconds that host and GPU would take for a pass, neither waiting for the other."""

    issued: float
    worked: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of a pass up to each share of the model: both columns rise, the shares from 0 to 1.

    backward counts its shares from the model's end; () () where there is none
    weights  share of the parameters up to each share of the model's products
    loads    of a pass; backward's with the forward pass that recomputing adds
    collective_issue_seconds  what the host takes to issue one gather or scatter of shards
    """

    forward: tuple[Array, Array]
    backward: tuple[Array, Array]
    weights: tuple[Array, Array]
    optimizer_seconds: float
    before_seconds: float  # what is copied from the host
    forward_loads: Loads
    backward_loads: Loads
    optimizer_issued_seconds: float
    collective_issue_seconds: float

    @property
    def forward_seconds(self) -> float:
        return float(self.forward[1][-1])

    @property
    def backward_seconds(self) -> float:
        return float(self.backward[1][-1])

    def forward_until(self, share: Array) -> Array:
        """Seconds from the start of the forward pass until that share of the model is through."""
        return np.interp(share, *self.forward)

    def backward_until(self, share: Array) -> Array:
        """Seconds of the backward pass until that share, from the end, is through."""
        return np.interp(share, *self.backward)


def added(load: float, more: float, took: float) -> float:
    """Seconds that a pass of `took` seconds is longer when one of its two loads grows: none while it still has room."""
    return min(more, max(0.0, load + more - took))


def pace(table: OpTable, gpu: Device, setting: Setting, shares: Shares, *, parameters: float) -> Pace:
    """The moments at which a step's operators end, the host issuing them and the GPU working them off.

    parameters  how many the model has: those that are no product's weight are counted with the first layer
    """
    whole, starts = table, np.ones(len(table), dtype=bool)
    if setting.compiled:
        fused = fuse(table)
        table, starts = fused.table, fused.starts
    busy = kernels(table, gpu, setting, shares)
    worked = setting.slow_gpu * np.where(starts, busy.seconds, busy.seconds - busy.fixed)
    issued = np.where(starts, issue_seconds(table, setting, shares), 0.0)
    ends = np.cumsum(worked) + np.maximum.accumulate(np.cumsum(issued) - np.cumsum(worked) + worked)
    took = np.diff(ends, prepend=0.0)
    forward = _curve(whole, whole.phase("forward"), took)
    backward = _curve(whole, whole.phase("backward"), took)
    loads = {
        phase: Loads(issued=float(issued[whole.phase(phase)].sum()), worked=float(worked[whole.phase(phase)].sum()))
        for phase in ("forward", "backward", "optimizer")
    }
    if setting.recomputes and len(backward[1]) > 1:
        again = forward[1][-1] - np.interp(1.0 - backward[0], *forward)
        backward = (backward[0], backward[1] + again)
        first, second = loads["forward"], loads["backward"]
        loads["backward"] = Loads(issued=first.issued + second.issued, worked=first.worked + second.worked)
    operator = "issue_compiled" if setting.compiled else "issue_function"
    return Pace(
        forward=forward,
        backward=backward,
        weights=_weights(whole, parameters),
        optimizer_seconds=float(took[whole.phase("optimizer")].sum()),
        before_seconds=setting.slow_host * setting.host_input_bytes / shares["host_copy"],
        forward_loads=loads["forward"],
        backward_loads=loads["backward"],
        optimizer_issued_seconds=loads["optimizer"].issued,
        collective_issue_seconds=COLLECTIVE_OPERATORS * setting.slow_host * shares[operator],
    )


def _curve(table: OpTable, chosen: Mask, took: Array) -> tuple[Array, Array]:
    work = np.where(table.kind(*PRODUCT_KINDS), table.flops, 0.0)[chosen]
    if not work.sum():
        work = np.ones(int(chosen.sum()))
    total = work.sum()
    share = np.cumsum(work) / total if total else work
    seconds = np.cumsum(took[chosen])
    return np.concatenate(([0.0], share)), np.concatenate(([0.0], seconds))


def _weights(table: OpTable, parameters: float) -> tuple[Array, Array]:
    """Share of the parameters over share of the forward products' FLOPs."""
    forward = table.phase("forward")
    work = np.where(table.kind(*PRODUCT_KINDS), table.flops, 0.0)[forward]
    held = table.kind("convolution", "recurrent") | (table.kind("matmul") & (table.batch <= 1))
    elements = np.where(held, np.maximum(table.batch, 1.0) * table.columns * table.depth, 0.0)[forward]
    known = elements.sum()
    if not known or not work.sum() or not parameters:
        return np.array([0.0, 1.0]), np.array([0.0, 1.0])
    first = max(0.0, 1.0 - known / parameters)
    share = first + (1.0 - first) * np.cumsum(elements) / known
    return np.concatenate(([0.0], np.cumsum(work) / work.sum())), np.concatenate(([first], share))
