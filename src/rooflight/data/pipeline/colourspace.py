"""Colour spaces: RGB to and from HSV, YCbCr and Lab, and NV12 as video decoders give it.

RGB is (…, 3, H, W) in 0 … 1, gamma-coded as in a picture file. Sources are named where the numbers come from.
"""

from typing import Literal

import torch
from torch import Tensor

from rooflight.core.errors import ShapeError

Standard = Literal["bt601", "bt709"]
Range = Literal["full", "limited"]

# Kr and Kb: the shares of red and blue in luma. ITU-R BT.601-7 section 2.5.1, BT.709-6 section 3.2.
LUMA: dict[str, tuple[float, float]] = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
# sRGB's primaries and white D65, IEC 61966-2-1; the inverse is computed, so that there and back is the same.
RGB_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_hsv(rgb: Tensor) -> Tensor:
    """Hue, saturation, value, each 0 … 1 (the hue as a share of a full circle)."""
    r, g, b = rgb.unbind(-3)
    high, low = rgb.amax(-3), rgb.amin(-3)
    spread = high - low
    safe = torch.where(spread == 0, 1.0, spread)
    sextant = torch.where(high == r, (g - b) / safe, torch.where(high == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    hue = torch.remainder(sextant / 6, 1.0)
    return torch.stack((hue, spread / torch.where(high == 0, 1.0, high), high), -3)


def hsv_to_rgb(hsv: Tensor) -> Tensor:
    """The inverse of rgb_to_hsv: channel = v − v·s·max(0, min(k, 4 − k, 1)), k = (n + 6·h) mod 6, n = 5, 3, 1."""
    h, s, v = hsv.unbind(-3)
    channels = []
    for n in (5, 3, 1):
        k = torch.remainder(n + 6 * h, 6)
        channels.append(v - v * s * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, -3)


def rgb_to_ycbcr(rgb: Tensor, standard: Standard = "bt601", range: Range = "full") -> Tensor:
    """Luma and two differences of colour, 0 … 1. full: of JPEG; limited: of video, 16 … 235 and 16 … 240 of 255."""
    kr, kb = LUMA[standard]
    r, g, b = rgb.unbind(-3)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)  # −½ … ½
    if range == "full":
        return torch.stack((y, cb + 128 / 255, cr + 128 / 255), -3)
    return torch.stack(((16 + 219 * y) / 255, (128 + 224 * cb) / 255, (128 + 224 * cr) / 255), -3)


def ycbcr_to_rgb(ycbcr: Tensor, standard: Standard = "bt601", range: Range = "full") -> Tensor:
    """The inverse of rgb_to_ycbcr, cut to 0 … 1."""
    kr, kb = LUMA[standard]
    y, cb, cr = ycbcr.unbind(-3)
    if range == "limited":
        y, cb, cr = (255 * y - 16) / 219, (255 * cb - 128) / 224, (255 * cr - 128) / 224
    else:
        cb, cr = cb - 128 / 255, cr - 128 / 255
    r, b = y + (2 - 2 * kr) * cr, y + (2 - 2 * kb) * cb
    return torch.stack((r, (y - kr * r - kb * b) / (1 - kr - kb), b), -3).clamp(0, 1)


def nv12_to_rgb(frame: Tensor, standard: Standard = "bt709", range: Range = "limited") -> Tensor:
    """NV12 frames to RGB in 0 … 1; each pair of colour values stands for its 2×2 pixels.

    frame    uint8 (…, 3·H/2, W): H rows of luma, then H/2 rows of Cb and Cr in turn
    returns  float32 (…, 3, H, W)
    raises   ShapeError if that cannot be
    """
    rows, width = frame.shape[-2:]
    if frame.dtype != torch.uint8 or rows % 3 or width % 2:
        raise ShapeError(f"NV12 is uint8 of 3·H/2 rows, W even; this is {tuple(frame.shape)} of {frame.dtype}.")
    height = rows * 2 // 3
    luma = frame[..., :height, :]
    pairs = frame[..., height:, :].unflatten(-1, (width // 2, 2))
    wide = pairs.repeat_interleave(2, -3).repeat_interleave(2, -2)
    return ycbcr_to_rgb(torch.stack((luma, wide[..., 0], wide[..., 1]), -3) / 255, standard, range)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE L*a*b* of sRGB under D65: L 0 … 100, a and b about −110 … 110. Source: CIE 15:2018."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
    xyz = torch.einsum("ij,...jhw->...ihw", _matrix(rgb), linear) / _white(rgb)
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=1e-9) ** (1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse of rgb_to_lab, cut to 0 … 1."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), -3)
    xyz = torch.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _white(lab)
    linear = torch.einsum("ij,...jhw->...ihw", torch.linalg.inv(_matrix(lab)), xyz)
    coded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    return coded.clamp(0, 1)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(RGB_TO_XYZ, dtype=like.dtype, device=like.device)


def _white(like: Tensor) -> Tensor:
    return torch.tensor(WHITE, dtype=like.dtype, device=like.device).view(3, 1, 1)
