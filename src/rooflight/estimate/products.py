"""Matrix products on tiles: how long one keeps the units of a GPU busy, from its shape.

A product (M, N, K) is cut into tiles of rows × columns of its result. One unit works on one tile at a time, and streams
K through it: tiles that hang over the edge, units that have no tile in the last wave, and a K too short to fill the
pipeline cost time that the FLOP count does not show. A library picks the tile; so does this, among a few.
"""

from dataclasses import dataclass

import numpy as np

from rooflight.estimate.table import Array

# The tiles that CUTLASS and cuBLAS choose from, rows × columns; skinny ones serve small or grouped products.
TILES = (
    (256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64), (128, 32), (32, 128), (64, 32), (32, 32),
    (128, 16), (64, 16),
)  # fmt: skip

TALL, WIDE = np.array(TILES, dtype=float).T

MOST_PIECES = 4
SHORTEST_SPLIT = 256  # of K: a shorter piece is not worth another unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs the products: all units together."""

    units: float
    flops_per_second: Array | float  # at the share that long products reach
    feed_bytes_per_second: float  # from L2 into the units
    fill: float  # of K: multiply-adds per element of the result that starting and ending a tile cost


def product_seconds(batch: Array, rows: Array, columns: Array, depth: Array, item: Array, engine: Engine) -> Array:
    """Least time of `batch` products (rows × depth) · (depth × columns), over the tiles; items are `item` bytes.

    Few tiles and a long K: K is split over idle units, which add their parts up through L2 afterwards.
    """
    tall, wide = TALL[:, None], WIDE[:, None]  # tiles down, products across
    tiles = batch * np.ceil(rows / tall) * np.ceil(columns / wide)
    split = np.maximum(1.0, np.minimum(np.floor(engine.units / np.maximum(tiles, 1.0)), depth // SHORTEST_SPLIT))
    # Or more pieces than units, so that the last wave is a shorter one.
    finer = np.maximum(split, np.minimum(MOST_PIECES * split, depth // SHORTEST_SPLIT))
    of_result = 8.0 * batch * rows * columns / engine.feed_bytes_per_second  # a part of every sum, out and back

    def seconds(pieces: Array) -> Array:
        waves = np.ceil(tiles * pieces / engine.units)
        length = depth / pieces + engine.fill
        compute = 2.0 * tall * wide * length / engine.flops_per_second
        feed = (tall + wide) * length * item / engine.feed_bytes_per_second
        each = engine.units * np.maximum(compute, feed)
        found: Array = waves * each + np.where(pieces > 1, pieces * of_result, 0.0)
        return found

    least: Array = np.minimum(seconds(split), seconds(finer)).min(axis=0)
    return least
