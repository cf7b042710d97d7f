"""The CPU engine's first kernel: from the source to a warped picture, each pixel packed into one 32-bit word.

Red, green and blue are the lower three bytes: one load reads a pixel, wherever it lies. A grey source is all three.
`pipeline/program.py` defines what is computed here. Importing this file needs numba.
"""

import math

import numpy as np
from numpy.typing import NDArray

from rooflight.data.engines.compiled import (
    BYTE,
    EIGHT,
    HALF,
    ONE,
    ROUND,
    SIXTEEN,
    TOP,
    ZERO,
    compiled,
    f4,
    i4,
    u1,
    u4,
)

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Words = NDArray[np.uint32]
Bytes = NDArray[np.uint8]

FAR = f4(1 << 20)  # coordinates are held within ±FAR, so that they fit an integer
BILINEAR, NEAREST, BICUBIC = 0, 1, 2  # filters
CONSTANT, EDGE, REFLECT, SYMMETRIC = 0, 1, 2, 3


@compiled
def filter_weight(distance: float, cubic: bool) -> float:
    """Of a source pixel at a distance from a canvas pixel's middle, in source pixels or, antialiased, canvas pixels."""
    t = abs(distance)
    if not cubic:
        return max(0.0, 1.0 - t)
    if t < 1.0:
        return (1.5 * t - 2.5) * t * t + 1.0
    return ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0 if t < 2.0 else 0.0


@compiled
def taps(
    length: int,
    size: int,
    first: int,
    count: int,
    antialias: bool,
    cubic: bool,
    index: Ints,
    weight: Floats,
    whole: Ints,
) -> tuple[int, int]:
    """The source pixels and weights of canvas pixels first … first + count − 1 along one axis, in torchvision's bits.

    index, weight, whole  (K, count), filled; weight: whole / 2^bits
    returns               the taps in use, the others weigh nothing; bits
    """
    scale = length / size
    unit = max(scale, 1.0) if antialias else 1.0
    support = 2.0 * unit if cubic else unit
    most = min(2 * int(math.ceil(support)) + 1, index.shape[0])
    used, largest = 1, 0.0
    shares = np.empty((most, count))
    for x in range(count):
        centre = (first + x + 0.5) * scale
        low = max(0, int(math.floor(centre - support + 0.5)))
        high = min(length, int(math.floor(centre + support + 0.5)))
        total = 0.0
        for k in range(high - low):
            total += filter_weight((low + k + 0.5 - centre) / unit, cubic)
        for k in range(most):
            share = filter_weight((low + k + 0.5 - centre) / unit, cubic) / total if low + k < high else 0.0
            index[k, x] = min(low + k, length - 1)
            shares[k, x] = share
            largest = max(largest, share)
    bits = min(22, int(math.ceil(math.log2((2**15 - 0.5) / largest))) - 1)
    parts = 2.0**bits
    for k in range(most):
        for x in range(count):
            rounded = int(math.floor(abs(shares[k, x]) * parts + 0.5))
            whole[k, x] = rounded if shares[k, x] > 0 else -rounded
            weight[k, x] = whole[k, x] / parts
            if rounded > 0:
                used = k + 1
    return used, bits


@compiled
def nearest_taps(length: int, size: int, first: int, count: int, index: Ints) -> int:
    """Pixel ⌊i·scale⌋ alone."""
    for x in range(count):
        index[0, x] = min(length - 1, int(math.floor((first + x) * (f4(length) / f4(size)))))
    return 1


@compiled
def pack_row(source: Bytes, start: int, channel: int, step: int, row: Words, n: int) -> None:
    """n pixels of a source row. channel, step: distance from channel to channel, from pixel to pixel."""
    if step == 3 and channel == 1:  # as decoders write them: constant steps, which are vectorised
        pixels = source[start : start + 3 * n]
        for x in range(n):
            row[x] = u4(i4(pixels[3 * x]) | (i4(pixels[3 * x + 1]) << EIGHT) | (i4(pixels[3 * x + 2]) << SIXTEEN))
    elif step == 1:
        red, green, blue = source[start:], source[start + channel :], source[start + 2 * channel :]
        for x in range(n):
            row[x] = u4(i4(red[x])) | u4(i4(green[x]) << EIGHT) | u4(i4(blue[x]) << SIXTEEN)
    else:
        for x in range(n):
            at = start + x * step
            row[x] = u4(
                i4(source[at]) | (i4(source[at + channel]) << EIGHT) | (i4(source[at + 2 * channel]) << SIXTEEN)
            )


@compiled
def gather(source: Words, index: Ints, out: Words, n: int) -> None:
    for x in range(n):
        out[x] = source[u4(index[x])]


@compiled
def byte_of(total: np.float32) -> np.int32:
    """Held within 0 … 255: a cubic's weights below 0 take sums beyond it."""
    return i4(min(max(total, ZERO), TOP))


@compiled
def mix_two(a: Words, b: Words, p: Floats, q: Floats, out: Words, n: int) -> None:
    """⌊p·a + q·b + ½⌋ in each byte."""
    for x in range(n):
        u, v = i4(a[x]), i4(b[x])
        red = i4(p[x] * f4(i4(u & BYTE)) + q[x] * f4(i4(v & BYTE)) + HALF)
        green = i4(p[x] * f4(i4((u >> EIGHT) & BYTE)) + q[x] * f4(i4((v >> EIGHT) & BYTE)) + HALF)
        blue = i4(p[x] * f4(i4((u >> SIXTEEN) & BYTE)) + q[x] * f4(i4((v >> SIXTEEN) & BYTE)) + HALF)
        out[x] = u4(i4(red | (green << EIGHT) | (blue << SIXTEEN)))


@compiled
def mix_three(a: Words, b: Words, c: Words, p: Floats, q: Floats, r: Floats, out: Words, n: int) -> None:
    """The same of three, held within a byte: sums that stay in registers."""
    for x in range(n):
        u, v, w = i4(a[x]), i4(b[x]), i4(c[x])
        red = p[x] * f4(i4(u & BYTE)) + q[x] * f4(i4(v & BYTE)) + r[x] * f4(i4(w & BYTE)) + HALF
        u, v, w = i4(u >> EIGHT), i4(v >> EIGHT), i4(w >> EIGHT)
        green = p[x] * f4(i4(u & BYTE)) + q[x] * f4(i4(v & BYTE)) + r[x] * f4(i4(w & BYTE)) + HALF
        u, v, w = i4(u >> EIGHT), i4(v >> EIGHT), i4(w >> EIGHT)
        blue = p[x] * f4(i4(u & BYTE)) + q[x] * f4(i4(v & BYTE)) + r[x] * f4(i4(w & BYTE)) + HALF
        least, middle, most = byte_of(red), byte_of(green), byte_of(blue)
        out[x] = u4(i4(least | (middle << EIGHT) | (most << SIXTEEN)))


@compiled
def add_tap(a: Words, p: Ints, sums: Ints, n: int) -> None:
    red, green, blue = sums[0], sums[1], sums[2]
    for x in range(n):
        u = i4(a[x])
        red[x] += i4(p[x] * i4(u & BYTE))
        green[x] += i4(p[x] * i4((u >> EIGHT) & BYTE))
        blue[x] += i4(p[x] * i4((u >> SIXTEEN) & BYTE))


@compiled
def byte_of_parts(total: np.int32, bits: np.int32) -> np.int32:
    return min(max(i4(total >> bits), i4(0)), BYTE)


@compiled
def pack_sums(sums: Ints, bits: np.int32, out: Words, n: int) -> None:
    red, green, blue = sums[0], sums[1], sums[2]
    for x in range(n):
        r, g, b = byte_of_parts(red[x], bits), byte_of_parts(green[x], bits), byte_of_parts(blue[x], bits)
        out[x] = u4(i4(r | (g << EIGHT) | (b << SIXTEEN)))


@compiled
def across(
    row: Words, index: Ints, weight: Floats, whole: Ints, used: int, bits: int, out: Words, read: Words, sums: Ints
) -> None:
    """One row of the box to one row of the canvas.

    Sums are exact: of up to three taps in float32, whose weights then have 16 bits at most, of more in whole numbers.
    """
    n = len(out)
    gather(row, index[0], read[0], n)
    if used == 1:
        out[:] = read[0, :n]
    elif used == 2:
        gather(row, index[1], read[1], n)
        mix_two(read[0], read[1], weight[0], weight[1], out, n)
    elif used == 3:
        gather(row, index[1], read[1], n)
        gather(row, index[2], read[2], n)
        mix_three(read[0], read[1], read[2], weight[0], weight[1], weight[2], out, n)
    else:
        sums[:, :n] = i4(1) << i4(bits - 1)
        add_tap(read[0], whole[0], sums, n)
        for k in range(1, used):
            gather(row, index[k], read[1], n)
            add_tap(read[1], whole[k], sums, n)
        pack_sums(sums, i4(bits), out, n)


@compiled
def down(
    rows: Bytes, index: Ints, weight: Floats, whole: Ints, used: int, bits: int, y: int, out: Bytes, sums: Ints
) -> None:
    """Rows of the box, already as wide as the canvas, to row y of the canvas: every byte by itself."""
    n = len(out)
    if used == 1:
        out[:] = rows[index[0, y], :n]
    elif used == 2:
        a, b, p, q = rows[index[0, y]], rows[index[1, y]], weight[0, y], weight[1, y]
        for x in range(n):
            out[x] = u1(i4(p * f4(a[x]) + q * f4(b[x]) + HALF))
    elif used == 3:
        a, b, c = rows[index[0, y]], rows[index[1, y]], rows[index[2, y]]
        p, q, r = weight[0, y], weight[1, y], weight[2, y]
        for x in range(n):
            out[x] = u1(byte_of(p * f4(a[x]) + q * f4(b[x]) + r * f4(c[x]) + HALF))
    else:
        sums[:n] = i4(1) << i4(bits - 1)
        for k in range(used):
            line, part = rows[index[k, y]], whole[k, y]
            for x in range(n):
                sums[x] += i4(part * i4(line[x]))
        for x in range(n):
            out[x] = u1(byte_of_parts(sums[x], i4(bits)))


@compiled
def coordinates(m: Floats, y: int, u: Floats, v: Floats) -> None:
    """Where the pixels of output row y come from."""
    row = f4(y)
    across_u, from_u = m[0, 0], m[0, 1] * row + m[0, 2]
    across_v, from_v = m[1, 0], m[1, 1] * row + m[1, 2]
    for x in range(len(u)):
        column = f4(i4(x))
        u[x] = across_u * column + from_u
        v[x] = across_v * column + from_v
    if m[2, 0] != ZERO or m[2, 1] != ZERO or m[2, 2] != ONE:
        across_w, from_w = m[2, 0], m[2, 1] * row + m[2, 2]
        for x in range(len(u)):
            w = across_w * f4(i4(x)) + from_w
            u[x] /= w
            v[x] /= w
    for x in range(len(u)):  # a comparison with NaN is false: it ends far away, outside
        u[x] = (u[x] if u[x] < FAR else FAR) if u[x] > -FAR else -FAR
        v[x] = (v[x] if v[x] < FAR else FAR) if v[x] > -FAR else -FAR


@compiled
def nearest_index(u: Floats, v: Floats, top: int, left: int, height: int, width: int, index: Ints) -> None:
    """Places in the window; height·width for what lies outside."""
    first_x, first_y, wide, high, outside = i4(left), i4(top), i4(width), i4(height), i4(height * width)
    for x in range(len(u)):
        at_x = i4(i4((u[x] + ROUND) - ROUND) - first_x)
        at_y = i4(i4((v[x] + ROUND) - ROUND) - first_y)
        inside = (at_x >= i4(0)) & (at_x < wide) & (at_y >= i4(0)) & (at_y < high)
        index[x] = i4(i4(at_y * wide) + at_x) if inside else outside


@compiled
def folded(at: int, n: int, border: int) -> int:
    """An index outside 0 … n − 1 brought back inside, as torch's padding modes do."""
    if border == EDGE or n == 1:
        return max(0, min(n - 1, at))
    period = 2 * n if border == SYMMETRIC else 2 * n - 2
    at = at % period
    return at if at < n else period - at - (1 if border == SYMMETRIC else 0)


@compiled
def folded_index(u: Floats, v: Floats, top: int, left: int, height: int, width: int, border: int, index: Ints) -> None:
    for x in range(len(u)):
        at_x = folded(int(round(u[x])) - left, width, border)
        at_y = folded(int(round(v[x])) - top, height, border)
        index[x] = at_y * width + at_x


@compiled
def guard_nearest(u: Floats, v: Floats, size: Floats, index: Ints, outside: int) -> None:
    """What an image between two warps did not have is outside."""
    wide, high = i4(size[1]), i4(size[0])
    for x in range(len(u)):
        at_x, at_y = i4((u[x] + ROUND) - ROUND), i4((v[x] + ROUND) - ROUND)
        inside = (at_x >= i4(0)) & (at_x < wide) & (at_y >= i4(0)) & (at_y < high)
        index[x] = index[x] if inside else i4(outside)


@compiled
def weights_inside(u: Floats, v: Floats, height: int, width: int, m: Floats) -> None:
    """Multiply m by the sum of the bilinear weights of the taps inside an image of that size."""
    for x in range(len(u)):
        # along one axis, the taps at ⌊u⌋ and ⌊u⌋ + 1 weigh 1 − f and f: inside, that is a ramp at each end
        along_x = min(max(min(u[x] + ONE, f4(width) - u[x]), ZERO), ONE)
        along_y = min(max(min(v[x] + ONE, f4(height) - v[x]), ZERO), ONE)
        m[x] *= along_x * along_y


@compiled
def bilinear_index(
    u: Floats, v: Floats, top: int, left: int, height: int, width: int, index: Ints, parts: Floats
) -> None:
    """The four places around each coordinate, and the parts of the way to the right and to the bottom.

    index  (4, n): top left, top right, bottom left, bottom right; height·width for one outside the window
    parts  (2, n)
    """
    wide, high, outside = i4(width), i4(height), i4(height * width)
    for x in range(len(u)):
        at_u, at_v = u[x] - f4(left), v[x] - f4(top)
        low_u, low_v = i4(np.floor(at_u)), i4(np.floor(at_v))
        parts[0, x], parts[1, x] = at_u - f4(low_u), at_v - f4(low_v)
        left_in, right_in = (low_u >= i4(0)) & (low_u < wide), (low_u >= i4(-1)) & (low_u < i4(wide - 1))
        top_in, bottom_in = (low_v >= i4(0)) & (low_v < high), (low_v >= i4(-1)) & (low_v < i4(high - 1))
        place = i4(i4(low_v * wide) + low_u)
        index[0, x] = place if left_in & top_in else outside
        index[1, x] = i4(place + 1) if right_in & top_in else outside
        index[2, x] = i4(place + wide) if left_in & bottom_in else outside
        index[3, x] = i4(i4(place + wide) + 1) if right_in & bottom_in else outside


@compiled
def bilinear_levels(
    read: Words, parts: Floats, shift: np.int32, m: Floats, fill: np.float32, faded: bool, out: Words
) -> None:
    """One channel of a row; shift: where its byte is."""
    for x in range(len(out)):
        p, q = parts[0, x], parts[1, x]
        a, b = f4(i4((i4(read[0, x]) >> shift) & BYTE)), f4(i4((i4(read[1, x]) >> shift) & BYTE))
        c, d = f4(i4((i4(read[2, x]) >> shift) & BYTE)), f4(i4((i4(read[3, x]) >> shift) & BYTE))
        level = (a * (ONE - p) + b * p) * (ONE - q) + (c * (ONE - p) + d * p) * q
        if faded:
            level = m[x] * (level - fill) + fill
        level = min(max((level + ROUND) - ROUND, ZERO), f4(255))
        out[x] |= u4(i4(i4(level) << shift))


@compiled
def fit_box(
    source: Bytes, start: int, strides: Ints, box: Floats, canvas: Floats, window: Floats, settings: Ints,
    bar: Words, picture: Words, x_index: Ints, x_weight: Floats, x_whole: Ints, y_index: Ints, y_weight: Floats,
    y_whole: Ints, row: Words, read: Words, sums: Ints,
) -> None:  # fmt: skip
    """The window of the canvas that the box is resized to, into picture (height·width and more,)."""
    antialias, nearest, cubic = settings[0] != 0, settings[1] == NEAREST, settings[1] == BICUBIC
    top, left, height, width = int(window[0]), int(window[1]), int(window[2]), int(window[3])
    box_height, box_width = int(box[2]), int(box[3])
    first = start + int(box[0]) * strides[2] + int(box[1]) * strides[3]
    if nearest:
        across_used = nearest_taps(box_width, int(canvas[1]), left, width, x_index)
        down_used = nearest_taps(box_height, int(canvas[0]), top, height, y_index)
        across_bits, down_bits = 0, 0
    else:
        across_used, across_bits = taps(
            box_width, int(canvas[1]), left, width, antialias, cubic, x_index, x_weight, x_whole
        )
        down_used, down_bits = taps(
            box_height, int(canvas[0]), top, height, antialias, cubic, y_index, y_weight, y_whole
        )
    low = y_index[0, 0]
    high = y_index[down_used - 1, height - 1] + 1
    for y in range(low, high):
        pack_row(source, first + y * strides[2], strides[1], strides[3], row, box_width)
        across(row, x_index, x_weight, x_whole, across_used, across_bits, bar[y, :width], read, sums)
    rows, out = bar.view(np.uint8), picture.view(np.uint8)
    for y in range(height):
        line = 4 * width
        row_out = out[y * line : (y + 1) * line]
        down(rows, y_index, y_weight, y_whole, down_used, down_bits, y, row_out, sums.reshape(-1))


@compiled
def warp(
    picture: Words, matrix: Floats, window: Floats, guards: Floats, guard_sizes: Floats, settings: Ints, fill: Floats,
    out: Words, u: Floats, v: Floats, index: Ints, parts: Floats, read: Words,
) -> None:  # fmt: skip
    """One sample from its picture, the window of the canvas. out  (H, W)"""
    bilinear, border, faded = settings[2] != 0, settings[3], settings[4] != 0
    top, left, height, width = int(window[0]), int(window[1]), int(window[2]), int(window[3])
    outside = height * width
    packed = u4(i4(fill[0]) | (i4(fill[1]) << EIGHT) | (i4(fill[2]) << SIXTEEN))
    picture[outside] = u4(0) if bilinear else packed
    columns = out.shape[1]
    m = parts[2]
    for y in range(out.shape[0]):
        coordinates(matrix, y, u, v)
        if bilinear:
            m[:] = ONE
            weights_inside(u - f4(left), v - f4(top), height, width, m)
            bilinear_index(u, v, top, left, height, width, index, parts)
            for guard in range(len(guards)):
                coordinates(guards[guard], y, u, v)
                weights_inside(u, v, int(guard_sizes[guard, 0]), int(guard_sizes[guard, 1]), m)
            for tap in range(4):
                gather(picture, index[tap], read[tap], columns)
            out[y] = 0
            for channel in range(3):
                bilinear_levels(read, parts, i4(8 * channel), m, fill[channel], faded, out[y])
        else:
            if border == CONSTANT:
                nearest_index(u, v, top, left, height, width, index[0])
            else:
                folded_index(u, v, top, left, height, width, border, index[0])
            for guard in range(len(guards)):
                coordinates(guards[guard], y, u, v)
                guard_nearest(u, v, guard_sizes[guard], index[0], outside)
            gather(picture, index[0], out[y], columns)


@compiled
def new_taps(most: int, count: int) -> tuple[Ints, Ints, Floats]:
    """For index, whole and weight of `taps`."""
    shape = (most, count)
    return np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.float32)


@compiled
def read_and_warp(
    source: Bytes, strides: Ints, sizes: Ints, settings: Ints, fill: Floats, box: Floats, canvas: Floats,
    window: Floats, matrix: Floats, guards: Floats, guard_sizes: Floats, first: int, out: Words,
) -> None:  # fmt: skip
    """Samples first … first + n − 1.

    source    every byte, flat;  strides  (4,): from sample to sample, channel, row, pixel; 0 of the channel: grey
    sizes     (5,): most rows of a box, most columns of one, most rows and columns of a window, most taps
    settings  (5,): antialias; the resize's filter; warp by bilinear; border; bilinear fades to the fill
    out       (n, H, W)
    """
    rows, columns, high, wide, most = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    samples, _, across_out = out.shape
    bar = np.empty((rows, wide), np.uint32)
    picture = np.empty(high * wide + 1, np.uint32)
    x_index, x_whole, x_weight = new_taps(most, wide)
    y_index, y_whole, y_weight = new_taps(most, high)
    row, read = np.empty(columns, np.uint32), np.empty((4, max(wide, across_out)), np.uint32)
    sums = np.empty((4, wide), np.int32)
    u, v = np.empty(across_out, np.float32), np.empty(across_out, np.float32)
    index, parts = np.empty((4, across_out), np.int32), np.empty((3, across_out), np.float32)
    for n in range(samples):
        s = first + n
        fit_box(
            source, s * strides[0], strides, box[s], canvas[s], window[s], settings,
            bar, picture, x_index, x_weight, x_whole, y_index, y_weight, y_whole, row, read, sums,
        )  # fmt: skip
        warp(picture, matrix[s], window[s], guards[s], guard_sizes[s], settings, fill, out[n], u, v, index, parts, read)
