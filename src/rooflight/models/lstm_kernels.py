"""The element-wise part of an LSTM's steps on a CPU: one pass over the gates instead of a dozen small operators.

Importing this file needs numba. Every constant and conversion names its 32-bit type: numba widens anything else to 64
bits, which halves the lanes of a vector.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
i4, f4 = np.int32, np.float32
ONE, TWO, HALF = f4(1), f4(2), f4(0.5)
FARTHEST = f4(87)  # exp of more is no float32
LOG2_E, LN_2_HIGH, LN_2_LOW = f4(1.44269504), f4(0.693359375), f4(-2.12194440e-4)
EXPONENT_BIAS, MANTISSA_BITS = i4(127), i4(23)
# exp(r) for |r| ≤ ln 2 / 2. Source: Cephes, expf.c
P5, P4, P3, P2, P1, P0 = map(f4, (1.9875691e-4, 1.3981999e-3, 8.3334519e-3, 4.1665796e-2, 0.16666667, 0.5))


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """To the vector units of this machine, kept on disk; releases the interpreter's lock."""
    fast = {"contract", "nsz", "nnan", "ninf"}  # an activation is a number; the guard of the loop finds one that is not
    jit: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=fast, **options)(
        function
    )
    return jit


def _exp(x: Any) -> Any:
    """Within two units of the last place. A polynomial: a call to the C library would leave the vector units."""
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


def _step_forward(
    gates: Floats, inputs: Floats, rows: NDArray[np.int64], before: Floats, cell: Floats, bent: Floats, state: Floats
) -> None:
    """One step of an LSTM, after the product of the last state with its weights.

    gates   (N, 4·H): that product; left as the gates i, f, g, o after their sigmoid or tanh
    inputs  (R, 4·H): the inputs' share of the gates, biases included; sample n's is row rows[n]
    before  (N, H): the cell before the step
    cell, bent, state  (N, H): written: the cell, its tanh, and the state
    """
    samples, units = before.shape
    for n in range(samples):
        share, row = inputs[rows[n]], gates[n]
        share_i, share_f, share_g, share_o = (
            share[:units],
            share[units : 2 * units],
            share[2 * units : 3 * units],
            share[3 * units :],
        )
        row_i, row_f, row_g, row_o = row[:units], row[units : 2 * units], row[2 * units : 3 * units], row[3 * units :]
        old, new, curved, out = before[n], cell[n], bent[n], state[n]
        for h in range(units):
            i, f = _sigmoid(row_i[h] + share_i[h]), _sigmoid(row_f[h] + share_f[h])
            g, o = _tanh(row_g[h] + share_g[h]), _sigmoid(row_o[h] + share_o[h])
            c = f * old[h] + i * g
            t = _tanh(c)
            row_i[h], row_f[h], row_g[h], row_o[h] = i, f, g, o
            new[h], curved[h], out[h] = c, t, o * t


step_forward = _compiled(_step_forward)


def _step_backward(gates: Floats, before: Floats, bent: Floats, d_state: Floats, d_cell: Floats) -> None:
    """From the gradient of one step's state to that of its gates before their sigmoid or tanh.

    gates         (N, 4·H): as `step_forward` left them; their gradient takes their place, a pass over memory less
    before, bent  as `step_forward` left them
    d_state       (N, H)
    d_cell        (N, H): of the cell after the step, without what comes through the state; left as that of the cell
                  before it
    """
    samples, units = before.shape
    for n in range(samples):
        row = gates[n]
        row_i, row_f, row_g, row_o = row[:units], row[units : 2 * units], row[2 * units : 3 * units], row[3 * units :]
        old, curved, d_out, d_c = before[n], bent[n], d_state[n], d_cell[n]
        for h in range(units):
            i, f, g, o, t = row_i[h], row_f[h], row_g[h], row_o[h], curved[h]
            d = d_c[h] + d_out[h] * o * (ONE - t * t)
            row_i[h] = d * g * i * (ONE - i)
            row_f[h] = d * old[h] * f * (ONE - f)
            row_g[h] = d * i * (ONE - g * g)
            row_o[h] = d_out[h] * t * o * (ONE - o)
            d_c[h] = d * f


step_backward = _compiled(_step_backward)


def _add_rows(values: Floats, rows: NDArray[np.int64], out: Floats) -> None:
    """out[rows[n]] += values[n], in the order of n. values: (N, D); out: (R, D)"""
    for n in range(len(rows)):
        source, target = values[n], out[rows[n]]
        for d in range(values.shape[1]):
            target[d] += source[d]


add_rows = _compiled(_add_rows)
