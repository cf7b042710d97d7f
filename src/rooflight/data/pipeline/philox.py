"""Philox 4×32-10: random words from a counter, so that a draw depends on where it is used and on nothing before it.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; Random123 1.14, philox.h.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]  # each below 2³²

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
ROUNDS = 10


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> Words:
    """Four words for each counter.

    counter  four arrays of one shape, words below 2³²
    key      two words
    returns  (…, 4)
    """
    c0, c1, c2, c3 = counter
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2  # below 2⁶⁴: nothing is lost
        c0, c1, c2, c3 = (second >> HALF) ^ c1 ^ k0, second & LOW, (first >> HALF) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack((c0, c1, c2, c3), axis=-1)


def words(ids: NDArray[np.int64], *, epoch: int, seed: int, operation: int, blocks: int) -> Words:
    """4·blocks random words for each sample; any sample's are the same in every batch.

    ids      (N,), 0 to 2³² − 1
    returns  (N, 4·blocks)
    """
    shape = (len(ids), blocks)
    counter = (
        np.broadcast_to(ids.astype(np.uint64)[:, None], shape),
        np.full(shape, epoch, np.uint64),
        np.full(shape, operation, np.uint64),
        np.broadcast_to(np.arange(blocks, dtype=np.uint64), shape),
    )
    return philox(counter, (seed & 0xFFFFFFFF, seed >> 32)).reshape(len(ids), 4 * blocks)
