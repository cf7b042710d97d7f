"""How the CPU engine's loops are compiled: by numba, to the vector units of this machine, kept on disk.

Importing this file needs numba. What LLVM makes of a loop depends on how it is written, and three habits matter here:
every constant and conversion names its 32-bit type, as numba widens anything else to 64 bits and halves the lanes; an
index is unsigned, as a signed one may count from the end; and a gather stands alone in a loop, as a load from anywhere
beside a store keeps the whole loop from being vectorised.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

i4, u4, u1, f4 = np.int32, np.uint32, np.uint8, np.float32
ZERO, HALF, ONE, TOP = f4(0), f4(0.5), f4(1), f4(255)
BYTE, EIGHT, SIXTEEN = i4(255), i4(8), i4(16)
ROUND = f4(
    1.5 * 2**23
)  # (x + ROUND) − ROUND is x rounded, halves to even, as long as the compiler may not reorder sums


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Releases the interpreter's lock; sums keep their order, products may be fused into them.

    Cached beside the file, or in the user's cache where that cannot be written. A cache knows its own file alone, so
    each file's compiled functions call no other file's.
    """
    jit: Callable[..., Any] = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})(
        function
    )
    return jit
