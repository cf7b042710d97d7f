"""Seconds of every operator's arithmetic alone: products on the engine and by the algorithm that a library picks."""

import numpy as np

from rooflight.estimate.device import (
    SHARED_LANES,
    Device,
    held_clock,
    matrix_rate,
    product_dtype,
    shared_loads,
    vector_rate,
)
from rooflight.estimate.products import Engine, product_seconds
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.table import Array, Mask, OpTable

# PyTorch's fused attention is FlashAttention-2, written for Ampere's instructions. It reaches up to 0.73 of an A100's
# peak (Dao, arXiv 2307.08691) and 0.35 of an H100's (Shah et al., arXiv 2407.08608).
# Of Blackwell nothing is known here.
OF_AMPERE = 0.35 / 0.70
LATER_TARGETS = ("9.0", "10.0", "10.3")

PRODUCT_KINDS = ("convolution", "matmul", "attention", "recurrent")


FEW_QUERIES, KEYS_OF_A_PART = 16, 128  # of attention: rows of a matrix instruction; keys of heads of 65 to 128


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


def runs_reference(gpu: Device, dtype: str) -> bool:
    """MIOpen has no float16 kernels for RDNA 1 but its reference ones."""
    return (gpu.spec.target or "").startswith("gfx101") and dtype == "float16"


def library_share(gpu: Device, dtype: str, shares: Shares) -> float:
    """What a vendor's library reaches of what NVIDIA's do."""
    if gpu.spec.vendor != "amd":
        return 1.0
    return shares["amd"] * (shares["amd_reference"] if runs_reference(gpu, dtype) else 1.0)


def arithmetic_seconds(table: OpTable, gpu: Device, setting: Setting, shares: Shares) -> Array:
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
            rate, engine = _reached(gpu, kind, used, dtype, shares)
            rates = np.full(int(chosen.sum()), rate)
            if engine == "vector":
                rates = np.where(winograd(table)[chosen], rates * shares["winograd"], rates)
            elif kind == "matmul":
                rates = rates * shares["misaligned"] ** _halvings(table)[chosen]
            if kind == "attention":
                backward = table.named("_backward")[chosen]
                rates = np.where(backward, rates * shares["attention_backward"], rates)
                seconds[chosen] = table.flops[chosen] / (rates * _busy_units(table, gpu)[chosen])
            elif kind == "recurrent":
                seconds[chosen] = _recurrent_seconds(table, chosen, _engine(gpu, rates, shares), shares)
            elif kind == "convolution":
                seconds[chosen] = _convolution_seconds(table, chosen, gpu, rates, engine, setting, shares)
            else:
                seconds[chosen] = _forward_seconds(table, chosen, _engine(gpu, rates, shares))
    lanes = np.where(table.named("convolution_backward"), shares["depthwise_backward"], shares["depthwise"])
    lanes = lanes * (shares["depthwise_last"] if setting.channels_last else 1.0)
    seconds[single] = table.flops[single] / (vector_rate(gpu) * lanes[single])
    return seconds


def _reached(gpu: Device, kind: str, used: str, dtype: str, shares: Shares) -> tuple[float, str]:
    """FLOP/s that long products of a kind and dtype reach, and the engine that does them."""
    rate, engine = matrix_rate(gpu, used)
    if kind == "convolution" and (gpu.spec.target or "").startswith("gfx11"):
        rate, engine = vector_rate(gpu, used), "vector"  # MIOpen's convolutions left RDNA 3's WMMA instructions aside
    rate *= shares[engine] * shares.get(kind, 1.0) * library_share(gpu, dtype, shares) * held_clock(gpu, engine)
    if kind == "attention" and gpu.spec.target in LATER_TARGETS:
        rate *= OF_AMPERE
    if used in ("float8", "float4"):
        rate *= shares["narrow"]
    if engine == "matrix" and loads_through_registers(gpu):
        rate *= shares["matrix_early"]
    if engine == "vector":
        rate *= shares["widened"] if dtype != "float32" else 1.0
        rate *= shares["shared_lanes"] if gpu.spec.target in SHARED_LANES else 1.0
    return rate, engine


def _engine(gpu: Device, rates: Array, shares: Shares) -> Engine:
    return Engine(
        units=gpu.units,
        flops_per_second=rates,
        feed_bytes_per_second=gpu.l2_bytes_per_second * shared_loads(gpu.spec),
        fill=shares["fill"],
    )


def _forward_seconds(table: OpTable, chosen: Mask, engine: Engine) -> Array:
    """The product that an operator is, as often as its FLOPs say."""
    batch, rows, columns, depth = _sides(table, chosen)
    copies = table.flops[chosen] / (2.0 * batch * rows * columns * depth)
    seconds: Array = copies * product_seconds(batch, rows, columns, depth, table.item_bytes()[chosen], engine)
    return seconds


def _recurrent_seconds(table: OpTable, chosen: Mask, engine: Engine, shares: Shares) -> Array:
    """The state's product of one step after another, each a kernel that waits for the one before; the rest at once.

    A step's product fills few units, however many steps there are. The input's products of all steps are one, and so
    are the gradients of the weights.
    """
    steps, rows, columns, depth = _sides(table, chosen)
    item = table.item_bytes()[chosen]
    one = np.ones_like(steps)
    copies = table.flops[chosen] / (2.0 * steps * rows * columns * depth)
    in_turn = steps * (product_seconds(one, rows, columns, depth, item, engine) + shares["kernel_seconds"])
    at_once = product_seconds(one, steps * rows, columns, depth, item, engine)
    seconds: Array = in_turn + np.maximum(copies - 1.0, 0.0) * at_once
    return seconds


def _convolution_seconds(
    table: OpTable, chosen: Mask, gpu: Device, rates: Array, kind: str, setting: Setting, shares: Shares
) -> Array:
    """Forward, or the gradients: of the weight always, of the input unless the FLOPs say that it is not asked for.

    Each gradient is a product of its own: the input's is rows × depth over columns, the weight's columns × depth over
    all rows, a few tiles with a very long K.
    """
    batch, rows, columns, depth = _sides(table, chosen)
    item = table.item_bytes()[chosen]
    grouped = batch > 1
    last = shares["grouped_last"] if setting.channels_last else 1.0
    rates = np.where(grouped, rates * shares["grouped"] * last, rates)
    seconds = product_seconds(batch, rows, columns, depth, item, _engine(gpu, rates, shares))
    back = table.named("_backward")[chosen]
    if back.any():
        old = setting.torch_version is not None and setting.torch_version < (1, 8) and kind == "matrix"
        before = shares["backward_old"] if old else 1.0
        if runs_reference(gpu, table.dtypes[int(np.flatnonzero(chosen)[0])]):
            before = shares["amd_reference_backward"]
        prefix = "lanes_" if kind == "vector" else ""
        inputs = _engine(gpu, rates * shares[f"{prefix}input_gradient"] * before, shares)
        weights = _engine(gpu, rates * shares[f"{prefix}weight_gradient"] * before, shares)
        copies = table.flops[chosen] / (2.0 * batch * rows * columns * depth)
        of_input = product_seconds(batch, rows, depth, columns, item, inputs)
        of_weight = product_seconds(batch, columns, depth, rows, item, weights)
        seconds = np.where(back, np.maximum(copies - 1.0, 0.0) * of_input + of_weight, seconds)
    return seconds


def _sides(table: OpTable, chosen: Mask) -> tuple[Array, Array, Array, Array]:
    return table.batch[chosen], table.rows[chosen], table.columns[chosen], table.depth[chosen]


def _halvings(table: OpTable) -> Array:
    """How often the 16 bytes that a unit loads at once must be halved until they divide a row of each matrix."""
    whole = 16.0 / table.item_bytes()
    halvings = np.zeros(len(table))
    for elements in (8.0, 4.0, 2.0):
        uneven = (np.mod(table.depth, elements) > 0) | (np.mod(table.columns, elements) > 0)
        halvings += uneven & (elements <= whole)
    return halvings


def _busy_units(table: OpTable, gpu: Device) -> Array:
    """Share of the units that have work in attention: a block takes 128 queries of one head.

    Of fewer queries than a matrix instruction takes, as when a token is generated, a block takes up to 64, and the
    blocks share the keys out among them.
    source  Dao et al., flash-attention 2, flash_fwd_launch_template.h, run_mha_fwd_splitkv_dispatch (recalled)
    """
    rows = np.maximum(table.rows, 1.0)
    few = rows < FEW_QUERIES
    tile = np.where(few, 64.0, 128.0)
    parts = np.where(few, np.ceil(np.maximum(table.columns, 1.0) / KEYS_OF_A_PART), 1.0)
    blocks = table.batch * np.ceil(rows / tile) * parts
    used = rows / (tile * np.ceil(rows / tile))
    busy: Array = used * blocks / (gpu.units * np.ceil(np.maximum(blocks, 1.0) / gpu.units))
    return busy
