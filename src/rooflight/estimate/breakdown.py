"""Where a step's time goes on one GPU: seconds by class of operator, and what each class waits for."""

from dataclasses import dataclass

import numpy as np

from rooflight.core.types import Trace
from rooflight.estimate.device import Device
from rooflight.estimate.fusion import fuse
from rooflight.estimate.kernels import kernels
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.table import OpTable

OF_KIND = {
    "convolution": "convolution",
    "matmul": "matrix product",
    "attention": "attention",
    "recurrent": "recurrent layer",
    "pool": "pooling",
    "copy": "copy",
    "optimizer": "optimizer",
}
LAYERS = ("batch norm", "layer norm", "group norm", "rms norm", "dropout", "softmax", "embedding")
SPELLED = {"threshold": "ReLU", "relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One class of operators: seconds of the GPU, the share of all, and what the larger part of them waits for."""

    name: str
    seconds: float
    share: float
    bound_by: str


def operator_classes(trace: Trace) -> tuple[str, ...]:
    """The class of each operator: its kind, or for what is no product the layer that it belongs to."""
    return tuple("optimizer" if op.phase == "optimizer" else class_name(op.kind, op.name) for op in trace.ops)


def breakdown(
    table: OpTable, classes: tuple[str, ...], gpu: Device, setting: Setting, shares: Shares
) -> tuple[Part, ...]:
    """The classes by their seconds, the longest first. A fused kernel's start counts where the kernel starts."""
    starts = np.ones(len(table), dtype=bool)
    if setting.compiled:
        fused = fuse(table)
        table, starts = fused.table, fused.starts
    busy = kernels(table, gpu, setting, shares)
    fixed = np.where(starts, busy.fixed, 0.0)
    worked = busy.seconds - busy.fixed + fixed
    arithmetic = busy.compute >= busy.memory
    whole = float(worked.sum())
    names = np.array(classes)
    parts = []
    for name in dict.fromkeys(classes):
        inside = names == name
        seconds = float(worked[inside].sum())
        launch = float(fixed[inside].sum())
        compute = float((worked - fixed)[inside & arithmetic].sum())
        by_bound = {"compute": compute, "memory": seconds - launch - compute, "launch": launch}
        bound_by = max(by_bound, key=by_bound.__getitem__)
        parts.append(Part(name=name, seconds=seconds, share=seconds / whole if whole else 0.0, bound_by=bound_by))
    return tuple(sorted(parts, key=lambda part: -part.seconds))


def class_name(kind: str, operator: str) -> str:
    """ "aten.cudnn_batch_norm_backward.default" → "batch norm"."""
    if kind in OF_KIND:
        return OF_KIND[kind]
    words = operator.partition(".")[2].partition(".")[0].strip("_").removesuffix("_backward").replace("_", " ").strip()
    return next((layer for layer in LAYERS if layer in words), SPELLED.get(words, words))
