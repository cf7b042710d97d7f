"""Seconds that each operator's kernels keep the GPU busy: the hierarchical roofline."""

from dataclasses import dataclass, fields

import numpy as np

from rooflight.estimate.arithmetic import PRODUCT_KINDS, arithmetic_seconds, depthwise
from rooflight.estimate.device import Device, matrix_rate, product_dtype
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.table import Array, Index, OpTable
from rooflight.estimate.traffic import Traffic, traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What each operator costs the GPU, and the parts that it is made of."""

    seconds: Array
    compute: Array
    memory: Array
    fixed: Array

    def part(self, chosen: slice | Index) -> "Kernels":
        """Those of some of the operators."""
        return Kernels(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def kernels(table: OpTable, gpu: Device, setting: Setting, shares: Shares, moved: Traffic | None = None) -> Kernels:
    """Seconds of every operator on the GPU, as if the host were always ahead of it.

    Arithmetic and memory overlap within a kernel, but not wholly: the two are joined by a power mean, whose exponent
    (fitted) is 1 where they add up and infinite where the longer one hides the other.

    moved  what traffic(table, gpu) says, if it was asked before
    """
    compute = arithmetic_seconds(table, gpu, setting, shares)
    memory = _memory_seconds(table, moved or traffic(table, gpu), gpu, setting, shares)
    power = shares["overlap"]
    joined = (compute**power + memory**power) ** (1.0 / power)
    fixed = np.full(len(table), shares["kernel_seconds"])
    return Kernels(seconds=joined + fixed, compute=compute, memory=memory, fixed=fixed)


def _memory_seconds(table: OpTable, moved: Traffic, gpu: Device, setting: Setting, shares: Shares) -> Array:
    share = np.full(len(table), shares["memory_elementwise"])
    share[table.kind(*PRODUCT_KINDS)] = shares["memory_product"]
    for kind in ("normalization", "pool", "copy", "reduction"):
        share[table.kind(kind)] = shares[f"memory_{kind}"]
    share[table.named("aten.cat")] = shares["memory_cat"]
    share[depthwise(table)] = shares["memory_depthwise"]
    reached = gpu.bytes_per_second * (shares["amd_memory"] if gpu.spec.vendor == "amd" else 1.0)
    memory = moved.memory + _layout_bytes(table, gpu, setting, shares)
    return memory / (reached * share) + moved.cache / gpu.cache_bytes_per_second


def _layout_bytes(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Array:
    """Bytes of the copies that a library makes when Tensor Cores want channels last and the tensors are not."""
    if setting.channels_last:
        return np.zeros(len(table))
    turned = table.kind("convolution") & ~depthwise(table)
    for dtype in table.dtypes_of("convolution"):
        if matrix_rate(gpu, product_dtype(gpu, setting.product_dtype("convolution", dtype)))[1] != "matrix":
            turned &= ~table.dtype(dtype)
    old = setting.torch_version is not None and setting.torch_version < (1, 13)
    share = shares["turned"] * (shares["turned_old"] if old else 1.0)
    return np.where(turned, 2.0 * share * table.bytes, 0.0)
