"""The CPU engine's last kernel: packed levels to the normalised tensor, in its dtype and layout, with boxes erased.

Importing this file needs numba.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.data.engines.compiled import BYTE, compiled, f4, i4, u4

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]


@compiled
def write_floats(pictures: Words, scale: Floats, shift: Floats, last: bool, out: Floats) -> None:
    """level·scale + shift. out  (n, C·H·W) as (C, H, W), or as (H, W, C) if last"""
    samples, height, width = pictures.shape
    channels = len(scale)
    for n in range(samples):
        for y in range(height):
            pixels = pictures[n, y]
            for channel in range(channels):
                a, b, byte = scale[channel], shift[channel], i4(8 * channel)
                if last:
                    row = out[n, y * width * channels : (y + 1) * width * channels]
                    for x in range(width):
                        row[x * channels + channel] = f4(i4((i4(pixels[x]) >> byte) & BYTE)) * a + b
                else:
                    row = out[n, (channel * height + y) * width : (channel * height + y + 1) * width]
                    for x in range(width):
                        row[x] = f4(i4((i4(pixels[x]) >> byte) & BYTE)) * a + b


@compiled
def write_table(pictures: Words, table: NDArray[Any], last: bool, out: NDArray[Any]) -> None:
    """table[channel, level]: for the dtypes that a CPU does not count in. out as above, of the table's dtype"""
    samples, height, width = pictures.shape
    channels = len(table)
    for n in range(samples):
        for y in range(height):
            pixels = pictures[n, y]
            for channel in range(channels):
                levels, byte = table[channel], i4(8 * channel)
                step = channels if last else 1
                at = y * width * channels + channel if last else (channel * height + y) * width
                for x in range(width):
                    out[n, at + x * step] = levels[u4((i4(pixels[x]) >> byte) & BYTE)]


@compiled
def erase(
    boxes: Floats, values: NDArray[Any], first: int, height: int, width: int, last: bool, out: NDArray[Any]
) -> None:
    """Boxes (N, E, 4) of samples first … first + n − 1 are given values (E, C)."""
    channels = values.shape[1]
    for n in range(len(out)):
        for box in range(boxes.shape[1]):
            top, left = int(boxes[first + n, box, 0]), int(boxes[first + n, box, 1])
            high, wide = int(boxes[first + n, box, 2]), int(boxes[first + n, box, 3])
            for y in range(top, top + high):
                for channel in range(channels):
                    for x in range(left, left + wide):
                        at = (y * width + x) * channels + channel if last else (channel * height + y) * width + x
                        out[n, at] = values[box, channel]
