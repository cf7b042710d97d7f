"""Operators that a CPU has only in pieces: defined for the dispatcher, with results that shapes.py knows.

Nothing ever computes them: the recorder gives their results and their costs.
"""

from typing import Any

import torch
from torch import Tensor

NAMESPACE = "rooflight"

_SCHEMAS = {
    "fused_rms_norm": "(Tensor input, int[] shape, Tensor? weight) -> (Tensor, Tensor)",
    "fused_rms_norm_backward": (
        "(Tensor grad, Tensor input, int[] shape, Tensor rstd, Tensor? weight) -> (Tensor, Tensor)"
    ),
    "adam8bit_": (
        "(Tensor(a!) self, Tensor grad, Tensor(b!) exp_avg, Tensor(c!) exp_avg_sq, Tensor(d!) scale_avg, "
        "Tensor(e!) scale_avg_sq, float weight_decay) -> ()"
    ),
}


def operator(name: str) -> Any:
    """The operator of that name, defined when it is first asked for."""
    known = torch.ops.rooflight
    if not hasattr(known, name):
        torch.library.define(f"{NAMESPACE}::{name}", _SCHEMAS[name])
    return getattr(known, name)


class RmsNorm(torch.autograd.Function):
    """x / rms(x) · weight over the last dimensions, as one operator each way."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: list[int], weight: Tensor | None) -> Tensor:
        out, rstd = operator("fused_rms_norm")(x, shape, weight)
        ctx.shape = shape
        ctx.save_for_backward(x, rstd, weight)
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        x, rstd, weight = ctx.saved_tensors
        of_x, of_weight = operator("fused_rms_norm_backward")(gradients[0], x, ctx.shape, rstd, weight)
        return of_x, None, of_weight if weight is not None else None
