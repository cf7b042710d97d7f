"""Operators as a device was seen to run them: the seconds of one that was never timed, from timed ones like it.

A roofline knows what an operator takes at best. How far real kernels fall short of it depends on their shape, the
layout of their tensors and what is still in a cache; that is smooth enough to be interpolated. For every kernel (an
operator in a dtype) the logarithm of measured / least seconds is a Gaussian process over the features below.

source  Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006: equation 2.25, Matérn's kernel, ν = 3/2
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from math import ceil, fsum, log, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.types import GpuSpec, KernelTimes, Op
from rooflight.estimate.roofline import PRODUCTS

Array = NDArray[Any]

START_SECONDS = 4e-6  # of the least time of any operator: dispatch and one round of threads
FEWEST, MOST = 12, 500  # timed operators of a kernel: fewer join the others of their kind, more tell nothing new
NEAREST_BYTES, FARTHEST_BYTES = 2**16, 2**31
VECTOR = 16  # channels that a kernel handles at once; what is no multiple of it is padded

# How far two operators lie apart, feature by feature, until they say little of each other: factors of two of a size.
# Rounded figures of the largest marginal likelihood on timed operators of a 2-core Zen 4.
SCALES: Mapping[str, tuple[float, ...]] = {
    "convolution": (7, 7, 8, 10, 7, 2, 7, 2.5),
    "matmul": (8, 8, 8, 8, 7, 2),
    "attention": (8, 8, 8, 8, 7, 2),
    "recurrent": (6, 8, 8, 8, 7, 2),
}
SIZES = (4.0, 4.0, 2.5)  # of operators that are no products: bytes read, bytes written, FLOPs a byte
AROUND = (8.0, 1.0, 1.0, 1.0)  # reuse distance, layout
SPREAD, NOISE = 0.5, 0.15  # of the logarithm: between kernels' shapes, and between repeats of one

# The same work, named by how a caller came to it.
_ALIKE = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_native_batch_norm_legit_no_training": "batch_norm",
}
_ITEM_BYTES = {"float64": 8, "bfloat16": 2, "float16": 2}  # any other: 4


def kernel_of(op: Op) -> str:
    """`aten.relu_.default` and `aten.relu.default` are "relu"."""
    name = op.name.split(".")[1] if "." in op.name else op.name
    name = name.rstrip("_")
    return _ALIKE.get(name, name)


def reuse_distances(ops: Sequence[Op]) -> list[int]:
    """Bytes that the step moved between the making of each operator's largest input and its reading.

    One that no operator of the step made lies as far away as any.
    """
    moved, after, found = 0, list[int](), list[int]()
    for op in ops:
        distance = FARTHEST_BYTES
        if op.inputs:
            maker, _ = max(op.inputs, key=lambda made: made[1])
            distance = moved - after[maker]
        found.append(min(FARTHEST_BYTES, max(NEAREST_BYTES, distance)))
        moved += op.bytes_read + op.bytes_written
        after.append(moved)
    return found


def features(op: Op, distance_bytes: int) -> tuple[float, ...]:
    """Where the operator lies among others of its kernel: sizes as powers of two, distance, layout."""
    sizes = _product_features(op) if op.product else _plain_features(op)
    layout = [float(op.layout == each) for each in ("first", "last", "mixed")]
    return (*sizes, log2(distance_bytes), *layout)


def _plain_features(op: Op) -> list[float]:
    moved = op.bytes_read + op.bytes_written
    return [log2(op.bytes_read + 64), log2(op.bytes_written + 64), log2((op.flops + 1) / (moved + 1) + 0.01)]


def _product_features(op: Op) -> list[float]:
    assert op.product is not None
    batch, M, N, K = (max(1, size) for size in op.product)
    done = op.flops / (2 * batch * M * N * K)  # 1 forward; backward 1 or 2, and what a recurrent layer's input adds
    found = [log2(batch), log2(M), log2(N), log2(K), _padding(N), done]
    if op.kind == "convolution":
        overlap = _overlap(op, batch, M, N, K, done)
        channels = max(1, round(K / overlap))
        found += [log2(max(overlap, 0.05)), _padding(channels)]
    return found


def _padding(size: int) -> float:
    return log2(ceil(size / VECTOR) * VECTOR / size)


def _overlap(op: Op, batch: int, M: int, N: int, K: int, done: float) -> float:
    """In how many windows an element of a convolution's input lies: R·S / stride². From the bytes of its tensors."""
    item, weight = _ITEM_BYTES.get(op.dtype, 4), batch * N * K
    if op.phase != "backward":
        elements = op.bytes_read / item - weight
    elif done > 1.5:
        elements = op.bytes_written / item - weight
    else:
        elements = op.bytes_read / item - batch * M * N
    return K * batch * M / max(elements, batch * M)


# ---------------------------------------------------------------- the table of timed operators


def tabulate(steps: Iterable[tuple[Sequence[Op], Sequence[float]]], spec: GpuSpec) -> tuple[KernelTimes, ...]:
    """Timed steps, each its operators in order and their seconds, as a table by kernel.

    spec    the device's measured rates, which least seconds are counted with
    """
    found: dict[tuple[str, str, str], list[tuple[tuple[float, ...], float]]] = defaultdict(list)
    for ops, seconds in steps:
        for op, distance, measured in zip(ops, reuse_distances(ops), seconds, strict=True):
            ratio = log(max(measured, 1e-9) / least_seconds(op, spec))
            found[op.kind, kernel_of(op), op.dtype].append((features(op, distance), ratio))
    draw = random.Random(0)
    rows = []
    for (kind, kernel, dtype), points in sorted(found.items()):
        width = len(points[0][0])
        kept = [point for point in points if len(point[0]) == width]
        kept = draw.sample(kept, MOST) if len(kept) > MOST else kept
        rows.append(
            KernelTimes(
                kind=kind,
                kernel=kernel,
                dtype=dtype,
                features=tuple(round(value, 3) for place, _ in kept for value in place),
                log_ratios=tuple(round(ratio, 3) for _, ratio in kept),
            )
        )
    return tuple(rows)


def least_seconds(op: Op, spec: GpuSpec) -> float:
    """What the operator takes at best: its start, its products at the best rate, its bytes at the memory's."""
    products = op.flops if op.kind in PRODUCTS else 0
    rate = spec.flops_per_second.get(op.dtype) or max(spec.flops_per_second.values())
    return START_SECONDS + products / rate + (op.bytes_read + op.bytes_written) / spec.bytes_per_second


def held_out(
    steps: Sequence[tuple[int, Sequence[Op], Sequence[float]]], spec: GpuSpec, folds: int = 4
) -> list[tuple[float, float]]:
    """(predicted, measured) seconds of whole steps, each from the table that its own network is left out of.

    steps   (number of the network, operators, seconds) of each timed step
    """
    found = []
    for fold in range(folds):
        table = tabulate([(ops, seconds) for network, ops, seconds in steps if network % folds != fold], spec)
        others = [(ops, seconds) for network, ops, seconds in steps if network % folds == fold]
        joined = [op for ops, _ in others for op in ops]
        distances = [distance for ops, _ in others for distance in reuse_distances(ops)]
        predicted = iter(measured_seconds(joined, spec, table, distances)[0])
        found += [(fsum(islice(predicted, len(ops))), fsum(seconds)) for ops, seconds in others if ops]
    return found


# ---------------------------------------------------------------- seconds of any operator


def measured_seconds(
    ops: Sequence[Op], spec: GpuSpec, table: Sequence[KernelTimes], distances: Sequence[int] | None = None
) -> tuple[list[float], list[Op]]:
    """Seconds of each operator of a step, in order; and the operators that no timed one is like.

    An operator that no timed one is like takes the roofline's least time. None is taken to be further from its least
    time, either way, than the timed ones of its kernel were.

    distances  of reuse, where the operators are of several steps
    """
    seconds = [least_seconds(op, spec) for op in ops]
    tables = {(row.kernel, row.dtype): row for row in table}
    kinds: dict[tuple[str, str], list[KernelTimes]] = defaultdict(list)
    for row in table:
        kinds[row.kind, row.dtype].append(row)
    wanted: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, op in enumerate(ops):
        wanted[kernel_of(op), op.dtype].append(index)
    distances, unknown = distances or reuse_distances(ops), list[Op]()
    for key, indices in wanted.items():
        asked = [features(ops[index], distances[index]) for index in indices]
        own = tables.get(key)
        enough = own is not None and len(own.log_ratios) >= FEWEST
        rows = [own] if own is not None and enough else kinds[ops[indices[0]].kind, key[1]]
        places, ratios = _points(rows, len(asked[0]))
        if not len(ratios):
            unknown += [ops[index] for index in indices]
            continue
        found = _interpolate(places, ratios, np.array(asked), _scales(ops[indices[0]]))
        for index, ratio in zip(indices, found, strict=True):
            seconds[index] *= float(ratio)
    return seconds, unknown


def _points(rows: Sequence[KernelTimes], width: int) -> tuple[Array, Array]:
    """Features and ratios of tables whose operators have so many features."""
    fitting = [row for row in rows if len(row.features) == width * len(row.log_ratios)]
    places = [np.array(row.features).reshape(-1, width) for row in fitting]
    ratios = [np.array(row.log_ratios) for row in fitting]
    if not places:
        return np.empty((0, width)), np.empty(0)
    step = ceil(sum(len(each) for each in ratios) / (2 * MOST))
    return np.concatenate(places)[::step], np.concatenate(ratios)[::step]


def _scales(op: Op) -> Array:
    return np.array([*(SCALES.get(op.kind, SIZES) if op.product else SIZES), *AROUND])


def _interpolate(places: Array, ratios: Array, asked: Array, scales: Array) -> Array:
    """measured / least seconds at the places asked for."""
    middle = np.median(ratios)
    covariance = SPREAD**2 * _alike(places, places, scales) + NOISE**2 * np.eye(len(places))
    weights = np.linalg.solve(covariance, ratios - middle)
    found = middle + SPREAD**2 * _alike(asked, places, scales) @ weights
    within: Array = np.exp(np.clip(found, ratios.min(), ratios.max()))
    return within


def _alike(left: Array, right: Array, scales: Array) -> Array:
    """1 for the same place, towards 0 with the distance."""
    a, b = left / scales, right / scales
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    distance = np.sqrt(3 * np.maximum(squared, 0))
    result: Array = (1 + distance) * np.exp(-distance)
    return result
