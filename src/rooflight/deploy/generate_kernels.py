"""Generation on a CPU, compiled: each stream from its prompt to its last token, with no call into Python between.

Importing this file needs numba. A product of one vector with a matrix is limited by reading the matrix from the cache:
four of its rows are added at a time, so that the sums are read and written a quarter as often.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
i4, f4 = np.int32, np.float32
ZERO, ONE, TWO, HALF = f4(0), f4(1), f4(2), f4(0.5)
FARTHEST = f4(87)  # exp of more is no float32
LOG2_E, LN_2_HIGH, LN_2_LOW = f4(1.44269504), f4(0.693359375), f4(-2.12194440e-4)
EXPONENT_BIAS, MANTISSA_BITS = i4(127), i4(23)
# exp(r) for |r| ≤ ln 2 / 2. Source: Cephes, expf.c
P5, P4, P3, P2, P1, P0 = map(f4, (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 0.16666667, 0.5))


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """To the vector units of this machine, kept on disk; releases the interpreter's lock. Sums keep their order."""
    jit: Callable[..., Any] = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"}, **options
    )(function)
    return jit


def _exp(x: Any) -> Any:
    x = min(max(x, -FARTHEST), FARTHEST)
    whole = np.floor(x * LOG2_E + HALF)
    r = x - whole * LN_2_HIGH - whole * LN_2_LOW
    p = ((((P5 * r + P4) * r + P3) * r + P2) * r + P1) * r + P0
    return (p * r * r + r + ONE) * i4((i4(whole) + EXPONENT_BIAS) << MANTISSA_BITS).view(f4)


_exp = _compiled(_exp, inline="always")


def _sigmoid(x: Any) -> Any:
    return ONE / (ONE + _exp(-x))


def _tanh(x: Any) -> Any:
    return TWO / (ONE + _exp(-TWO * x)) - ONE


_sigmoid, _tanh = _compiled(_sigmoid, inline="always"), _compiled(_tanh, inline="always")


def _multiply(vector: Floats, matrix: Floats, bias: Floats, out: Floats) -> None:
    """out = bias + vector @ matrix. matrix: (K, D)"""
    rows, columns = matrix.shape
    for d in range(columns):
        out[d] = bias[d]
    whole = rows - rows % 4
    for k in range(0, whole, 4):
        a, b, c, e = vector[k], vector[k + 1], vector[k + 2], vector[k + 3]
        row_a, row_b, row_c, row_e = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
        for d in range(columns):
            out[d] += a * row_a[d] + b * row_b[d] + (c * row_c[d] + e * row_e[d])
    for k in range(whole, rows):
        a, row_a = vector[k], matrix[k]
        for d in range(columns):
            out[d] += a * row_a[d]


_multiply = _compiled(_multiply)


def _lstm_cell(share: Floats, product: Floats, cell: Floats, state: Floats) -> None:
    units = len(state)
    for h in range(units):
        i, f = _sigmoid(share[h] + product[h]), _sigmoid(share[units + h] + product[units + h])
        g = _tanh(share[2 * units + h] + product[2 * units + h])
        o = _sigmoid(share[3 * units + h] + product[3 * units + h])
        c = f * cell[h] + i * g
        cell[h] = c
        state[h] = o * _tanh(c)


def _gru_cell(share: Floats, product: Floats, state: Floats) -> None:
    units = len(state)
    for h in range(units):
        r, z = _sigmoid(share[h] + product[h]), _sigmoid(share[units + h] + product[units + h])
        n = _tanh(share[2 * units + h] + r * product[2 * units + h])
        state[h] = n + z * (state[h] - n)


_lstm_cell, _gru_cell = _compiled(_lstm_cell), _compiled(_gru_cell)


def _choose(scores: Floats, inverse: Any, draw: float) -> int:
    """The first token at which the running sum of probabilities exceeds the draw; with inverse 0 the most probable."""
    best = 0
    for token in range(len(scores)):
        if scores[token] > scores[best]:
            best = token
    if inverse == ZERO:
        return best
    top = scores[best]
    for token in range(len(scores)):
        # −∞, of a token that is never written, becomes 0 and not the smallest float.
        scores[token] = _exp((scores[token] - top) * inverse) if scores[token] > f4(-math.inf) else ZERO
    total = 0.0
    for token in range(len(scores)):
        total += scores[token]
    limit, sums = draw * total, 0.0
    for token in range(len(scores)):
        sums += scores[token]
        if sums > limit:
            return token
    return best


_choose = _compiled(_choose)


def _write_streams(
    lstm: bool,
    table: Floats,
    inputs: Floats,
    input_bias: Floats,
    states: Floats,
    state_bias: Floats,
    head: Floats,
    head_bias: Floats,
    prompt: NDArray[np.int64],
    draws: NDArray[np.float64],
    inverse: Any,
    ids: NDArray[np.int64],
) -> None:
    """Fill ids (streams, tokens). Weights as `Folded` holds them; inverse: 1 / temperature, or 0."""
    layers, units, width = states.shape
    state, cell = np.zeros((layers, units), f4), np.zeros((layers, units), f4)
    share, product, scores = np.empty(width, f4), np.empty(width, f4), np.empty(len(head_bias), f4)
    for stream in range(len(ids)):
        state[:] = ZERO
        cell[:] = ZERO
        for place in range(len(prompt) + ids.shape[1] - 1):
            token = prompt[place] if place < len(prompt) else ids[stream, place - len(prompt)]
            for layer in range(layers):
                _multiply(state[layer], states[layer], state_bias[layer], product)
                if layer:
                    _multiply(state[layer - 1], inputs[layer - 1], input_bias[layer - 1], share)
                else:
                    share[:] = table[token]
                if lstm:
                    _lstm_cell(share, product, cell[layer], state[layer])
                else:
                    _gru_cell(share, product, state[layer])
            written = place - len(prompt) + 1
            if written >= 0:
                _multiply(state[layers - 1], head, head_bias, scores)
                ids[stream, written] = _choose(scores, inverse, draws[stream, written])


write_streams = _compiled(_write_streams)
