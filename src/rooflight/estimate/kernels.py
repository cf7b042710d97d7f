"""Seconds that each operator's kernels keep the GPU busy: the hierarchical roofline."""

from dataclasses import dataclass, fields

import numpy as np

from rooflight.estimate.device import Device, matrix_rate, product_dtype, vector_rate
from rooflight.estimate.products import Engine, product_seconds
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.table import Array, Mask, OpTable
from rooflight.estimate.traffic import traffic

PRODUCT_KINDS = ("convolution", "matmul", "attention", "recurrent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What each operator costs the GPU, and the parts that it is made of."""

    seconds: Array
    compute: Array
    memory: Array
    fixed: Array

    def part(self, first: int, last: int) -> "Kernels":
        """Those of the operators from first to before last."""
        return Kernels(**{field.name: getattr(self, field.name)[first:last] for field in fields(self)})


def kernels(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Kernels:
    """Seconds of every operator on the GPU, as if the host were always ahead of it.

    Arithmetic and memory overlap within a kernel, but not wholly: the two are joined by a power mean, whose exponent
    (fitted) is 1 where they add up and infinite where the longer one hides the other.
    """
    compute = _compute_seconds(table, gpu, setting, shares)
    memory = _memory_seconds(table, gpu, setting, shares)
    power = shares["overlap"]
    joined = (compute**power + memory**power) ** (1.0 / power)
    fixed = np.full(len(table), shares["kernel_seconds"])
    return Kernels(seconds=joined + fixed, compute=compute, memory=memory, fixed=fixed)


def depthwise(table: OpTable) -> Mask:
    """Convolutions with one filter per group and channel: they run on the ordinary lanes."""
    single: Mask = table.kind("convolution") & (table.batch > 1) & (table.columns <= 2) & (table.depth <= 128)
    return single


def winograd(table: OpTable) -> Mask:
    """Convolutions of 3 × 3 without a stride: on the ordinary lanes the libraries do them with fewer multiplications.

    What a convolution reads again of its input tells: K / groups·R·S multiply-adds per input element and filter, over
    the stride squared.
    source   Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: 2.25 times fewer for F(2 × 2)
    """
    weights = table.batch * table.columns * table.depth
    backward = table.named("convolution_backward")
    around = np.where(backward, table.bytes_written, table.bytes_read) / table.item_bytes()
    inputs = np.maximum(around - weights, 1.0)
    reuse = table.batch * table.depth * table.rows / inputs
    found: Mask = table.kind("convolution") & (reuse > 8.0) & (reuse < 9.9) & (table.batch == 1)
    return found


def loads_through_registers(gpu: Device) -> bool:
    """Tensor Cores before Ampere: operands pass the registers on their way to shared memory, in the products' time.

    source  NVIDIA, "A100 Tensor Core GPU Architecture", 2020, on asynchronous copies
    """
    return gpu.spec.vendor == "nvidia" and (gpu.spec.target or "").startswith("7.")


def library_share(gpu: Device, dtype: str, shares: Shares) -> float:
    """What a vendor's library reaches of what NVIDIA's do."""
    if gpu.spec.vendor != "amd":
        return 1.0
    # MIOpen has no float16 kernels for RDNA 1 but its reference ones.
    bare = (gpu.spec.target or "").startswith("gfx101") and dtype == "float16"
    return shares["amd"] * (shares["amd_reference"] if bare else 1.0)


def _compute_seconds(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Array:
    """Seconds of the arithmetic of every operator alone."""
    seconds = table.flops / vector_rate(gpu)
    product = table.kind(*PRODUCT_KINDS) & (table.rows > 0)
    single = depthwise(table)
    for kind in PRODUCT_KINDS:
        for dtype in table.dtypes_of(kind):
            chosen = product & ~single & table.kind(kind) & table.dtype(dtype)
            if not chosen.any():
                continue
            used = product_dtype(gpu, setting.product_dtype(kind, dtype))
            reached = _reached(table, chosen, kind, gpu, used, dtype, shares)
            if setting.channels_last and kind == "convolution":
                reached = np.where(table.batch[chosen] > 1, reached * shares["grouped_last"], reached)
            if kind == "attention":
                seconds[chosen] = table.flops[chosen] / (reached * _busy_units(table, gpu)[chosen])
            else:
                seconds[chosen] = _tiled_seconds(table, chosen, gpu, reached, shares)
    lanes = np.where(table.named("convolution_backward"), shares["depthwise_backward"], shares["depthwise"])
    lanes = lanes * (shares["depthwise_last"] if setting.channels_last else 1.0)
    seconds[single] = table.flops[single] / (vector_rate(gpu) * lanes[single])
    return seconds


def _reached(table: OpTable, chosen: Mask, kind: str, gpu: Device, used: str, dtype: str, shares: Shares) -> Array:
    """FLOP/s that long products of these operators, all of one kind and dtype, reach."""
    rate, engine = matrix_rate(gpu, used)
    share = rate * shares[engine] * shares.get(kind, 1.0) * library_share(gpu, dtype, shares)
    if engine == "vector" and dtype != "float32":
        share *= shares["widened"]
    if engine == "matrix" and loads_through_registers(gpu):
        share *= shares["matrix_early"]
    reached = np.full(int(chosen.sum()), share)
    backward = table.named("_backward")[chosen]
    if kind in ("convolution", "attention"):
        name = "lanes_backward" if engine == "vector" else f"{kind}_backward"
        reached = np.where(backward, reached * shares[name], reached)
    if engine == "vector":
        reached = np.where(winograd(table)[chosen], reached * shares["winograd"], reached)
    if kind == "matmul" and engine == "matrix":
        reached = reached * shares["misaligned"] ** _halvings(table)[chosen]
    return reached


def _halvings(table: OpTable) -> Array:
    """How often the 16 bytes that a unit loads at once must be halved until they divide a row of each matrix."""
    whole = 16.0 / table.item_bytes()
    halvings = np.zeros(len(table))
    for elements in (8.0, 4.0, 2.0):
        uneven = (np.mod(table.depth, elements) > 0) | (np.mod(table.columns, elements) > 0)
        halvings += uneven & (elements <= whole)
    return halvings


def _busy_units(table: OpTable, gpu: Device) -> Array:
    """Share of the units that have work in attention: a block takes 128 queries of one head."""
    rows = np.maximum(table.rows, 1.0)  # what is no product has none
    blocks = table.batch * np.ceil(rows / 128)
    used = rows / (128 * np.ceil(rows / 128))
    busy: Array = used * blocks / (gpu.units * np.maximum(np.ceil(blocks / gpu.units), 1.0))
    return busy


def _tiled_seconds(table: OpTable, chosen: Mask, gpu: Device, flops_per_second: Array, shares: Shares) -> Array:
    """The product that an operator is, as often as its FLOPs say: a backward operator does it once per gradient."""
    once = 2.0 * table.batch * table.rows * table.columns * table.depth
    copies = table.flops[chosen] / once[chosen]
    engine = Engine(
        units=gpu.units,
        flops_per_second=flops_per_second,
        feed_bytes_per_second=gpu.l2_bytes_per_second,
        fill=shares["fill"],
    )
    columns = (table.batch, table.rows, table.columns, table.depth)
    batch, rows, width, depth = (column[chosen] for column in columns)
    item = table.item_bytes()[chosen]
    seconds = copies * product_seconds(batch, rows, width, depth, item, engine)
    back = table.named("_backward")[chosen]
    if back.any():
        # gradients: of the input (rows × depth, over columns), of the weight (columns × depth, over rows)
        of_input = product_seconds(batch, rows, depth, width, item, engine)
        of_weight = product_seconds(batch, width, depth, rows, item, engine)
        seconds = np.where(back, copies * (of_input + of_weight) / 2.0, seconds)
    return seconds


def _memory_seconds(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Array:
    moved = traffic(table, gpu)
    share = np.full(len(table), shares["memory_elementwise"])
    share[table.kind(*PRODUCT_KINDS)] = shares["memory_product"]
    for kind in ("normalization", "pool", "copy", "reduction"):
        share[table.kind(kind)] = shares[f"memory_{kind}"]
    memory = moved.memory + _layout_bytes(table, gpu, setting, shares)
    return memory / (gpu.bytes_per_second * share) + moved.cache / gpu.cache_bytes_per_second


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
