"""The CPU engine's second kernel: each sample's colour operations, in its own order, on packed pixels in place.

Rows are unpacked into the cache, taken through every operation up to the next that must see the whole picture first,
and packed again. `pipeline/program.py` has the formulas. Importing this file needs numba.
"""

import numpy as np
from numpy.typing import NDArray

from rooflight.data.engines.compiled import (
    BYTE,
    EIGHT,
    ONE,
    ROUND,
    SIXTEEN,
    TOP,
    ZERO,
    compiled,
    f4,
    i4,
    u4,
)
from rooflight.data.pipeline.program import (
    AUTOCONTRAST,
    BLUR,
    BRIGHTNESS,
    CONTRAST,
    EQUALIZE,
    GRAYSCALE,
    HUE,
    INVERT,
    POSTERIZE,
    SATURATION,
    SHARPNESS,
    SOLARIZE,
)

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Words = NDArray[np.uint32]
Tables = NDArray[np.uint8]

# Of red, green and blue to the grey of torchvision; a picture of one channel is its own grey.
RED, GREEN, BLUE = f4(0.2989), f4(0.587), f4(0.114)
FULL = f4(255.999)  # HUE's channels in 0 … 1 to levels


@compiled
def unpack(packed: Words, r: Floats, g: Floats, b: Floats) -> None:
    for x in range(len(packed)):
        pixel = i4(packed[x])
        r[x] = f4(i4(pixel & BYTE))
        g[x] = f4(i4((pixel >> EIGHT) & BYTE))
        b[x] = f4(i4((pixel >> SIXTEEN) & BYTE))


@compiled
def pack(r: Floats, g: Floats, b: Floats, packed: Words) -> None:
    for x in range(len(packed)):
        packed[x] = u4(i4(i4(r[x]) | (i4(g[x]) << EIGHT) | (i4(b[x]) << SIXTEEN)))


@compiled
def level(value: f4) -> f4:
    return f4(i4(min(max(value, ZERO), TOP)))


@compiled
def grey(r: f4, g: f4, b: f4) -> f4:
    return f4(i4(RED * r + GREEN * g + BLUE * b))


@compiled
def scale_and_shift(r: Floats, g: Floats, b: Floats, scale: f4, shift: f4) -> None:
    """Brightness and contrast."""
    for x in range(len(r)):
        r[x] = level(r[x] * scale + shift)
        g[x] = level(g[x] * scale + shift)
        b[x] = level(b[x] * scale + shift)


@compiled
def saturate(r: Floats, g: Floats, b: Floats, value: f4) -> None:
    for x in range(len(r)):
        other = (ONE - value) * grey(r[x], g[x], b[x])
        r[x] = level(r[x] * value + other)
        g[x] = level(g[x] * value + other)
        b[x] = level(b[x] * value + other)


@compiled
def to_grey(r: Floats, g: Floats, b: Floats) -> None:
    for x in range(len(r)):
        one = grey(r[x], g[x], b[x])
        r[x] = one
        g[x] = one
        b[x] = one


@compiled
def hue_channel(sixths: f4, most: f4, spread: f4) -> f4:
    """most − spread·clamp(min(k, 4 − k), 0, 1), k = sixths modulo 6: the channel whose ramp starts there."""
    k = sixths - f4(6) if sixths >= f4(6) else sixths
    k = k - f4(6) if k >= f4(6) else k
    ramp = min(max(min(k, f4(4) - k), ZERO), ONE)
    return f4(i4((most - spread * ramp) * (FULL / TOP)))


@compiled
def turn_hue(r: Floats, g: Floats, b: Floats, sixths: f4) -> None:
    """sixths: the turn in 0 … 6."""
    for x in range(len(r)):
        most, least = max(r[x], max(g[x], b[x])), min(r[x], min(g[x], b[x]))
        spread = most - least
        share = ONE / max(spread, ONE)
        from_red, from_green = (g[x] - b[x]) * share, (b[x] - r[x]) * share + f4(2)
        from_blue = (r[x] - g[x]) * share + f4(4)
        hue = from_red if most == r[x] else (from_green if most == g[x] else from_blue)
        hue = (hue + f4(6) if hue < ZERO else hue) + sixths
        hue = hue - f4(6) if hue >= f4(6) else hue
        r[x] = hue_channel(hue + f4(5), most, spread)
        g[x] = hue_channel(hue + f4(3), most, spread)
        b[x] = hue_channel(hue + ONE, most, spread)


@compiled
def look_up(r: Floats, g: Floats, b: Floats, tables: Tables) -> None:
    for x in range(len(r)):
        r[x] = tables[0, i4(r[x])]
        g[x] = tables[1, i4(g[x])]
        b[x] = tables[2, i4(b[x])]


@compiled
def fill_tables(code: int, value: f4, counts: Ints, tables: Tables) -> None:
    """What an operation makes of each level of each channel. counts  (3, 256): the histogram, if it needs one"""
    for channel in range(3):
        count = counts[channel]
        low, high, total = 0, 255, 0
        while low < 255 and count[low] == 0:
            low += 1
        while high > 0 and count[high] == 0:
            high -= 1
        for x in range(256):
            total += count[x]
        step = (total - count[high]) // 255
        below = 0
        for x in range(256):
            if code == POSTERIZE:
                made = x & ~((1 << (8 - i4(value))) - 1)
            elif code == SOLARIZE:
                made = 255 - x if x >= value else x
            elif code == INVERT:
                made = 255 - x
            elif code == AUTOCONTRAST:
                made = x
                if high > low:
                    made = int(level(f4(x - low) / (f4(high - low) * (ONE / TOP))))
            else:  # EQUALIZE
                made = x if step == 0 else min(255, (below + step // 2) // step)
            below += count[x]
            tables[channel, x] = made


@compiled
def look_at_row(r: Floats, g: Floats, b: Floats, code: int, single: bool, counts: Ints) -> int:
    """Statistics of a row: the sum of its greys for CONTRAST, else counts of levels are added up."""
    total = 0
    if code == CONTRAST and single:
        for x in range(len(r)):
            total += i4(r[x])
    elif code == CONTRAST:
        for x in range(len(r)):
            total += i4(grey(r[x], g[x], b[x]))
    elif code in (AUTOCONTRAST, EQUALIZE):
        for x in range(len(r)):
            counts[0, i4(r[x])] += 1
            counts[1, i4(g[x])] += 1
            counts[2, i4(b[x])] += 1
    return total


@compiled
def change_row(r: Floats, g: Floats, b: Floats, code: int, value: f4, mean: f4, single: bool, tables: Tables) -> None:
    """One operation on one row."""
    if code == BRIGHTNESS:
        scale_and_shift(r, g, b, value, ZERO)
    elif code == CONTRAST:
        scale_and_shift(r, g, b, value, mean * (ONE - value))
    elif code == SATURATION:
        if not single:
            saturate(r, g, b, value)
    elif code == HUE:
        if not single:
            turn_hue(r, g, b, (value - f4(np.floor(value))) * f4(6))
    elif code == GRAYSCALE:
        if not single:
            to_grey(r, g, b)
    elif code in (POSTERIZE, SOLARIZE, INVERT, AUTOCONTRAST, EQUALIZE):
        look_up(r, g, b, tables)


@compiled
def sharpen(picture: Words, value: f4, lines: Words) -> None:
    """Each pixel away from or towards the mean around it; the border stays. lines  (2, W): rows as they were"""
    height, width = picture.shape
    above, here = lines[0], lines[1]
    above[:] = picture[0]
    for y in range(1, height - 1):
        here[:] = picture[y]
        below = picture[y + 1]
        for x in range(1, width - 1):
            made = i4(0)
            for channel in range(3):
                shift = i4(8 * channel)
                total = i4(0)
                for k in range(-1, 2):
                    total += i4((i4(above[x + k]) >> shift) & BYTE) + i4((i4(here[x + k]) >> shift) & BYTE)
                    total += i4((i4(below[x + k]) >> shift) & BYTE)
                own = i4((i4(here[x]) >> shift) & BYTE)
                smooth = (f4(total + i4(4) * own) / f4(13) + ROUND) - ROUND
                made |= i4(i4(level(f4(own) * value + (ONE - value) * smooth)) << shift)
            picture[y, x] = u4(made)
        above[:] = here


@compiled
def gaussian(taps: int, deviation: f4) -> Floats:
    weights = np.empty(taps, np.float32)
    for k in range(taps):
        weights[k] = np.exp(-0.5 * ((k - (taps - 1) / 2) / deviation) ** 2)
    return weights / weights.sum()


@compiled
def mirrored(at: int, n: int) -> int:
    """An index up to n − 1 outside, reflected about the first or last pixel."""
    at = abs(at)
    return at if at < n else 2 * n - 2 - at


@compiled
def blur(picture: Words, deviation: f4, size: Ints) -> None:
    """Gaussian, along the rows and then down the columns, rounded once. size  (2,): taps down and across"""
    height, width = picture.shape
    down, across = gaussian(size[0], deviation), gaussian(size[1], deviation)
    rows = np.zeros((height, 3, width), np.float32)
    wide = np.empty((3, width + len(across)), np.float32)
    half = len(across) // 2
    for y in range(height):
        for x in range(-half, width + half):
            pixel = i4(picture[y, mirrored(x, width)])
            for channel in range(3):
                wide[channel, x + half] = f4(i4((pixel >> i4(8 * channel)) & BYTE))
        for channel in range(3):
            out, line = rows[y, channel], wide[channel]
            for k in range(len(across)):
                weight = across[k]
                for x in range(width):
                    out[x] += weight * line[x + k]
    half = len(down) // 2
    for y in range(height):
        sums = np.zeros((3, width), np.float32)
        for k in range(len(down)):
            line, weight = rows[mirrored(y + k - half, height)], down[k]
            for channel in range(3):
                for x in range(width):
                    sums[channel, x] += weight * line[channel, x]
        for channel in range(3):
            for x in range(width):
                sums[channel, x] = (sums[channel, x] + ROUND) - ROUND
        pack(sums[0], sums[1], sums[2], picture[y])


@compiled
def needs_a_look(code: int) -> bool:
    return code in (CONTRAST, AUTOCONTRAST, EQUALIZE, SHARPNESS, BLUR)


@compiled
def colour(pictures: Words, codes: Ints, values: Floats, first: int, blur_size: Ints, single: bool) -> None:
    """Change packed pictures (n, H, W), samples first … first + n − 1 of codes and values (N, S), in place.

    single  the picture has one channel, held three times
    """
    samples, height, width = pictures.shape
    slots = codes.shape[1]
    planes = np.empty((3, width), np.float32)
    r, g, b = planes[0], planes[1], planes[2]
    tables = np.empty((slots, 3, 256), np.uint8)
    means = np.zeros(slots, np.float32)
    counts = np.empty((3, 256), np.int32)
    lines = np.empty((2, width), np.uint32)
    for n in range(samples):
        picture, code, value = pictures[n], codes[first + n], values[first + n]
        for slot in range(slots):
            if code[slot] == POSTERIZE or code[slot] == SOLARIZE or code[slot] == INVERT:
                fill_tables(code[slot], value[slot], counts, tables[slot])
        done, looked = 0, False  # looked: the operation at done has seen the whole picture
        while done < slots:
            stop = done + 1 if looked else done
            while stop < slots and not needs_a_look(code[stop]):
                stop += 1
            looks_for = code[stop] if stop < slots else 0
            counts[:] = 0
            total = 0
            for y in range(height):
                unpack(picture[y], r, g, b)
                for slot in range(done, stop):
                    change_row(r, g, b, code[slot], value[slot], means[slot], single, tables[slot])
                total += look_at_row(r, g, b, looks_for, single, counts)
                pack(r, g, b, picture[y])
            if looks_for == CONTRAST:
                means[stop] = f4(total / (height * width))
            elif looks_for == SHARPNESS:
                sharpen(picture, value[stop], lines)
            elif looks_for == BLUR:
                blur(picture, value[stop], blur_size)
            elif looks_for != 0:
                fill_tables(looks_for, value[stop], counts, tables[stop])
            done, looked = stop, True
