"""The GPU engine's kernel: from the source to the normalised tensor, one program for a sample and a tile of its output.

`pipeline/program.py` defines what is computed here. Importing this file needs Triton, which PyTorch brings along on
Linux with CUDA or ROCm. Levels are float32 whole numbers.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import triton
import triton.language as tl

from rooflight.data.pipeline import program as codes_of

ROUND = tl.constexpr(1.5 * 2**23)  # (x + ROUND) − ROUND is x rounded, halves to even
BRIGHTNESS, CONTRAST = tl.constexpr(codes_of.BRIGHTNESS), tl.constexpr(codes_of.CONTRAST)
SATURATION, HUE = tl.constexpr(codes_of.SATURATION), tl.constexpr(codes_of.HUE)
GRAYSCALE, POSTERIZE = tl.constexpr(codes_of.GRAYSCALE), tl.constexpr(codes_of.POSTERIZE)
SOLARIZE, INVERT = tl.constexpr(codes_of.SOLARIZE), tl.constexpr(codes_of.INVERT)
FAR = tl.constexpr(1048576.0)  # coordinates are held within ±FAR, so that they fit an integer


@triton.jit
def added(a, b):
    return a + b


@triton.jit
def level(value):
    return tl.floor(tl.minimum(tl.maximum(value, 0.0), 255.0))


@triton.jit
def grey_of(r, g, b, single: tl.constexpr):
    return r if single else tl.floor(0.2989 * r + 0.587 * g + 0.114 * b)


@triton.jit
def coordinates(m, x, y):
    """m: pointer to a 3×3 matrix."""
    w = tl.load(m + 6) * x + (tl.load(m + 7) * y + tl.load(m + 8))
    u = (tl.load(m + 0) * x + (tl.load(m + 1) * y + tl.load(m + 2))) / w
    v = (tl.load(m + 3) * x + (tl.load(m + 4) * y + tl.load(m + 5))) / w
    u = tl.where(tl.abs(u) < FAR, u, FAR)  # a comparison with NaN is false
    v = tl.where(tl.abs(v) < FAR, v, FAR)
    return u, v


@triton.jit
def tap_range(at, length, size, antialias: tl.constexpr, cubic: tl.constexpr):
    """The source pixels low … high − 1 of canvas pixels along one axis, their middle, and the filter's unit."""
    scale = length / size
    unit = tl.maximum(scale, 1.0) if antialias else 1.0
    support = 2.0 * unit if cubic else unit
    centre = (at.to(tl.float32) + 0.5) * scale
    low = tl.maximum(tl.floor(centre - support + 0.5), 0.0).to(tl.int32)
    high = tl.minimum(tl.floor(centre + support + 0.5), length).to(tl.int32)
    return low, high, centre, unit


@triton.jit
def tap_count(unit, cubic: tl.constexpr):
    """The most pixels that a canvas pixel is made of along one axis."""
    support = 2.0 * unit if cubic else unit
    least: tl.constexpr = 4 if cubic else 2
    return tl.where(unit > 1.0, tl.ceil(2.0 * support) + 1.0, least).to(tl.int32)


@triton.jit
def tap_weight(at, high, centre, unit, cubic: tl.constexpr):
    t = tl.abs(at.to(tl.float32) + 0.5 - centre) / unit
    if cubic:
        far = tl.where(t < 2.0, ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0, 0.0)
        weight = tl.where(t < 1.0, (1.5 * t - 2.5) * t * t + 1.0, far)
    else:
        weight = tl.maximum(1.0 - t, 0.0)
    return tl.where(at < high, weight, 0.0)


@triton.jit
def whole_part(weight, total, parts):
    """A weight's share of the total in whole parts, halves away from 0."""
    share = weight / total
    whole = tl.floor(tl.abs(share) * parts + 0.5) / parts
    return tl.where(share < 0.0, -whole, whole)


@triton.jit
def weight_parts(length, size, taps, antialias: tl.constexpr, cubic: tl.constexpr):
    """2^bits that torchvision's weights are whole parts of, by the largest, which is the first canvas pixel's.

    Of a cubic, another pixel's can be larger by a little; a level is then rounded the other way now and then.
    """
    low, high, centre, unit = tap_range(size.to(tl.int32) * 0, length, size, antialias, cubic)
    largest, total = 0.0, 0.0
    for k in range(taps):
        weight = tap_weight(low + k, high, centre, unit, cubic)
        largest = tl.maximum(largest, weight)
        total += weight
    return tl.exp2(tl.minimum(tl.ceil(tl.log2((32768.0 - 0.5) * total / largest)) - 1.0, 22.0))


@triton.jit
def read_pixel(source, channel_step, at, inside, channels: tl.constexpr):
    r = tl.load(source + at, mask=inside, other=0).to(tl.float32)
    if channels == 1:
        g, b = r, r
    else:
        g = tl.load(source + at + channel_step, mask=inside, other=0).to(tl.float32)
        b = tl.load(source + at + 2 * channel_step, mask=inside, other=0).to(tl.float32)
    return r, g, b


@triton.jit
def canvas_pixel(
    source, channel_step, row_step, pixel_step, box, canvas, x, y, inside,
    resizes: tl.constexpr, antialias: tl.constexpr, nearest: tl.constexpr, cubic: tl.constexpr, channels: tl.constexpr,
):  # fmt: skip
    """Levels at whole coordinates of the canvas; 0 where not inside. source: the sample's first byte"""
    top, left = tl.load(box).to(tl.int32), tl.load(box + 1).to(tl.int32)
    high, wide = tl.load(box + 2), tl.load(box + 3)
    corner = source + top.to(tl.int64) * row_step + left * pixel_step
    if not resizes:
        r, g, b = read_pixel(corner, channel_step, y * row_step + x * pixel_step, inside, channels)
    elif nearest:
        at_y = tl.floor(y.to(tl.float32) * (high / tl.load(canvas))).to(tl.int32)
        at_x = tl.floor(x.to(tl.float32) * (wide / tl.load(canvas + 1))).to(tl.int32)
        at_y, at_x = tl.minimum(at_y, high.to(tl.int32) - 1), tl.minimum(at_x, wide.to(tl.int32) - 1)
        r, g, b = read_pixel(corner, channel_step, at_y * row_step + at_x * pixel_step, inside, channels)
    else:
        low_y, end_y, centre_y, unit_y = tap_range(y, high, tl.load(canvas), antialias, cubic)
        low_x, end_x, centre_x, unit_x = tap_range(x, wide, tl.load(canvas + 1), antialias, cubic)
        none = tl.full(centre_x.shape, 0.0, tl.float32)
        total_x = none
        taps_x, taps_y = tap_count(unit_x, cubic), tap_count(unit_y, cubic)
        for k in range(taps_x):
            total_x += tap_weight(low_x + k, end_x, centre_x, unit_x, cubic)
        total_x = tl.where(total_x > 0.0, total_x, 1.0)  # 0 far outside: not a NaN, as 0 times NaN would spread
        total_y = none
        for j in range(taps_y):
            total_y += tap_weight(low_y + j, end_y, centre_y, unit_y, cubic)
        total_y = tl.where(total_y > 0.0, total_y, 1.0)
        parts_x = weight_parts(wide, tl.load(canvas + 1), taps_x, antialias, cubic)
        parts_y = weight_parts(high, tl.load(canvas), taps_y, antialias, cubic)
        r, g, b = none, none, none
        for j in range(taps_y):
            at_y = low_y + j
            down = whole_part(tap_weight(at_y, end_y, centre_y, unit_y, cubic), total_y, parts_y)
            row_r, row_g, row_b = none, none, none
            for k in range(taps_x):
                at_x = low_x + k
                along = whole_part(tap_weight(at_x, end_x, centre_x, unit_x, cubic), total_x, parts_x)
                place = at_y * row_step + at_x * pixel_step
                one_r, one_g, one_b = read_pixel(
                    corner, channel_step, place, inside & (at_x < end_x) & (at_y < end_y), channels
                )
                row_r += along * one_r
                row_g += along * one_g
                row_b += along * one_b
            r += down * level(row_r + 0.5)
            g += down * level(row_g + 0.5)
            b += down * level(row_b + 0.5)
        r, g, b = level(r + 0.5), level(g + 0.5), level(b + 0.5)
    return r, g, b


@triton.jit
def ramp(at, size):
    """The bilinear weights of the taps inside 0 … size − 1, summed."""
    return tl.minimum(tl.maximum(tl.minimum(at + 1.0, size - at), 0.0), 1.0)


@triton.jit
def hue_channel(sixths, most, spread):
    k = tl.where(sixths >= 6.0, sixths - 6.0, sixths)
    k = tl.where(k >= 6.0, k - 6.0, k)
    share = tl.minimum(tl.maximum(tl.minimum(k, 4.0 - k), 0.0), 1.0)
    return tl.floor((most - spread * share) * (255.999 / 255.0))


@triton.jit
def turned(r, g, b, turn):
    """Hue by a share of the circle."""
    most, least = tl.maximum(r, tl.maximum(g, b)), tl.minimum(r, tl.minimum(g, b))
    spread = most - least
    share = 1.0 / tl.maximum(spread, 1.0)
    not_red = tl.where(most == g, (b - r) * share + 2.0, (r - g) * share + 4.0)
    hue = tl.where(most == r, (g - b) * share, not_red)
    hue = tl.where(hue < 0.0, hue + 6.0, hue) + (turn - tl.floor(turn)) * 6.0
    hue = tl.where(hue >= 6.0, hue - 6.0, hue)
    return (
        hue_channel(hue + 5.0, most, spread),
        hue_channel(hue + 3.0, most, spread),
        hue_channel(hue + 1.0, most, spread),
    )


@triton.jit
def change(r, g, b, code, value, mean, single: tl.constexpr):
    """One colour operation. code, value, mean: the sample's, so that all lanes take the same way"""
    if code == BRIGHTNESS:
        r, g, b = level(r * value), level(g * value), level(b * value)
    elif code == CONTRAST:
        other = (1.0 - value) * mean
        r, g, b = level(r * value + other), level(g * value + other), level(b * value + other)
    elif code == SATURATION:
        if not single:
            other = (1.0 - value) * grey_of(r, g, b, single)
            r, g, b = level(r * value + other), level(g * value + other), level(b * value + other)
    elif code == HUE:
        if not single:
            r, g, b = turned(r, g, b, value)
    elif code == GRAYSCALE:
        one = grey_of(r, g, b, single)
        r, g, b = one, one, one
    elif code == POSTERIZE:
        step = tl.exp2(8.0 - value)
        r, g, b = tl.floor(r / step) * step, tl.floor(g / step) * step, tl.floor(b / step) * step
    elif code == SOLARIZE:
        r = tl.where(r >= value, 255.0 - r, r)
        g = tl.where(g >= value, 255.0 - g, g)
        b = tl.where(b >= value, 255.0 - b, b)
    elif code == INVERT:
        r, g, b = 255.0 - r, 255.0 - g, 255.0 - b
    return r, g, b


@triton.jit
def warped(
    source, channel_step, row_step, pixel_step, box, canvas, window, matrix, guards, guard_sizes, x, y, valid,
    fill_r, fill_g, fill_b, guard_count: tl.constexpr, bilinear: tl.constexpr, faded: tl.constexpr,
    resizes: tl.constexpr, antialias: tl.constexpr, nearest: tl.constexpr, cubic: tl.constexpr, channels: tl.constexpr,
):  # fmt: skip
    """Levels of output pixels of one sample. Pointers are to what the sample has."""
    top, left = tl.load(window), tl.load(window + 1)
    high, wide = tl.load(window + 2), tl.load(window + 3)
    u, v = coordinates(matrix, x, y)
    if bilinear:
        low_u, low_v = tl.floor(u), tl.floor(v)
        part_u, part_v = u - low_u, v - low_v
        m = ramp(u - left, wide) * ramp(v - top, high)
        for guard in tl.static_range(guard_count):
            guard_u, guard_v = coordinates(guards + 9 * guard, x, y)
            m *= ramp(guard_u, tl.load(guard_sizes + 2 * guard + 1)) * ramp(guard_v, tl.load(guard_sizes + 2 * guard))
        none = tl.full(u.shape, 0.0, tl.float32)
        r, g, b = none, none, none
        for tap in tl.static_range(4):
            at_u, at_v = low_u + tap % 2, low_v + tap // 2
            along = part_u if tap % 2 == 1 else 1.0 - part_u
            down = part_v if tap // 2 == 1 else 1.0 - part_v
            inside = (at_u >= left) & (at_u < left + wide) & (at_v >= top) & (at_v < top + high) & valid
            one_r, one_g, one_b = canvas_pixel(
                source, channel_step, row_step, pixel_step, box, canvas, at_u.to(tl.int32), at_v.to(tl.int32), inside,
                resizes, antialias, nearest, cubic, channels,
            )  # fmt: skip
            weight = tl.where(inside, along * down, 0.0)
            r += weight * one_r
            g += weight * one_g
            b += weight * one_b
        if faded:
            r, g, b = m * (r - fill_r) + fill_r, m * (g - fill_g) + fill_g, m * (b - fill_b) + fill_b
        r, g, b = (r + ROUND) - ROUND, (g + ROUND) - ROUND, (b + ROUND) - ROUND
        r, g, b = level(r), level(g), level(b)
    else:
        at_u, at_v = (u + ROUND) - ROUND, (v + ROUND) - ROUND
        inside = (at_u >= left) & (at_u < left + wide) & (at_v >= top) & (at_v < top + high) & valid
        for guard in tl.static_range(guard_count):
            guard_u, guard_v = coordinates(guards + 9 * guard, x, y)
            guard_u, guard_v = (guard_u + ROUND) - ROUND, (guard_v + ROUND) - ROUND
            inside &= (guard_u >= 0) & (guard_u < tl.load(guard_sizes + 2 * guard + 1))
            inside &= (guard_v >= 0) & (guard_v < tl.load(guard_sizes + 2 * guard))
        r, g, b = canvas_pixel(
            source, channel_step, row_step, pixel_step, box, canvas, at_u.to(tl.int32), at_v.to(tl.int32), inside,
            resizes, antialias, nearest, cubic, channels,
        )  # fmt: skip
        r, g, b = tl.where(inside, r, fill_r), tl.where(inside, g, fill_g), tl.where(inside, b, fill_b)
    return r, g, b


@triton.jit
def augment(
    source, scratch, sums, out, box, canvas, window, matrix, guards, guard_sizes, codes, values, erase, erase_value,
    sample_step, channel_step, row_step, pixel_step, samples, height, width, fill_r, fill_g, fill_b,
    scale_r, scale_g, scale_b, shift_r, shift_g, shift_b, phase,
    slots: tl.constexpr, guard_count: tl.constexpr, erasures: tl.constexpr, bilinear: tl.constexpr,
    faded: tl.constexpr, resizes: tl.constexpr, antialias: tl.constexpr, nearest: tl.constexpr, cubic: tl.constexpr,
    channels: tl.constexpr, out_channels: tl.constexpr, last: tl.constexpr, first_phase: tl.constexpr,
    last_phase: tl.constexpr, tile: tl.constexpr,
):  # fmt: skip
    """One phase of a batch: the colour operations from a sample's phase-th CONTRAST up to before the next.

    source   uint8;  scratch  int32 (N, H, W), packed levels between phases;  sums  int32 (phases, N), zeroed: of greys
    out      (N, C, H, W), or (N, H, W, C) if last
    tile     output pixels of a program; the grid is (N, ⌈H·W / tile⌉)
    """
    sample = tl.program_id(0)
    pixels = height * width
    place = tl.program_id(1) * tile + tl.arange(0, tile)
    valid = place < pixels
    start = sample.to(tl.int64) * pixels
    single: tl.constexpr = channels == 1
    if first_phase:
        x, y = (place % width).to(tl.float32), (place // width).to(tl.float32)
        r, g, b = warped(
            source + sample.to(tl.int64) * sample_step, channel_step, row_step, pixel_step, box + 4 * sample,
            canvas + 2 * sample, window + 4 * sample, matrix + 9 * sample, guards + 9 * guard_count * sample,
            guard_sizes + 2 * guard_count * sample, x, y, valid, fill_r, fill_g, fill_b,
            guard_count, bilinear, faded, resizes, antialias, nearest, cubic, channels,
        )  # fmt: skip
    else:
        packed = tl.load(scratch + start + place, mask=valid, other=0)
        r = (packed & 255).to(tl.float32)
        g = ((packed >> 8) & 255).to(tl.float32)
        b = ((packed >> 16) & 255).to(tl.float32)
    mean = 0.0
    if not first_phase:
        mean = tl.load(sums + (phase - 1) * samples + sample).to(tl.float32) / pixels
    seen = 0
    for slot in tl.static_range(slots):
        code, value = tl.load(codes + sample * slots + slot), tl.load(values + sample * slots + slot)
        seen += (code == CONTRAST).to(tl.int32)
        if seen == phase:
            r, g, b = change(r, g, b, code, value, mean, single)
    if last_phase:
        for n in tl.static_range(out_channels):
            levels, scale, shift = (r, scale_r, shift_r) if n == 0 else (g, scale_g, shift_g)
            if n == 2:
                levels, scale, shift = b, scale_b, shift_b
            result = levels * scale + shift
            for e in tl.static_range(erasures):
                box_at = erase + (sample * erasures + e) * 4
                top, left = tl.load(box_at), tl.load(box_at + 1)
                at_y, at_x = place // width - top, place % width - left
                erased = (at_y >= 0) & (at_y < tl.load(box_at + 2)) & (at_x >= 0) & (at_x < tl.load(box_at + 3))
                result = tl.where(erased, tl.load(erase_value + e * out_channels + n), result)
            at = place * out_channels + n if last else n * pixels + place
            if out.dtype.element_ty == tl.uint8:
                result = tl.minimum(tl.maximum((result + ROUND) - ROUND, 0.0), 255.0)
            tl.store(out + start * out_channels + at, result.to(out.dtype.element_ty), mask=valid)
    else:
        grey = tl.where(valid, grey_of(r, g, b, single), 0.0)
        tl.atomic_add(sums + phase * samples + sample, tl.reduce(grey.to(tl.int32), 0, added))
        packed = r.to(tl.int32) | (g.to(tl.int32) << 8) | (b.to(tl.int32) << 16)
        tl.store(scratch + start + place, packed, mask=valid)
