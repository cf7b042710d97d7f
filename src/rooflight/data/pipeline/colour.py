"""The colour step in plain torch: one function a code, as torchvision rounds a uint8 tensor, over levels in float32.

Each takes x (N, C, H, W), whole levels 0 … 255, and v (N, 1, 1, 1), and gives whole levels.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rooflight.data.pipeline import program as code
from rooflight.data.pipeline.program import Pass


def recolour(x: Tensor, step: Pass) -> Tensor:
    """Every sample's list, place by place: what can stand there is made of all samples, and each takes its own."""
    for place, possible in enumerate(step.slots):
        codes = step.codes[:, place].view(-1, 1, 1, 1)
        v = step.values[:, place].view(-1, 1, 1, 1)
        result = x
        for kind in possible:
            if kind != code.IDENTITY:
                made = blurred(x, v, step.blur) if kind == code.BLUR else FUNCTIONS[kind](x, v)
                result = torch.where(codes == kind, made, result)
        x = result
    return x


def grey_of(x: Tensor) -> Tensor:
    """(N, 1, H, W), rounded down, as torchvision weighs it; the level itself where there is one channel."""
    if x.shape[1] == 1:
        return x
    r, g, b = x.unbind(1)
    # Multiplied and added in torchvision's order and operators: on whole greys the sum lies near a whole number.
    return (r * 0.2989).add(g, alpha=0.587).add(b, alpha=0.114).floor().unsqueeze(1)


def _blend(x: Tensor, other: Tensor, v: Tensor) -> Tensor:
    return _added(x * v, other, 1 - v).clamp(0, 255).floor()


def _added(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """x + other · share, rounded once, as the fused instruction rounds that torchvision's blending runs on."""
    return (x.double() + other.double() * share.double()).float()


def brightness(x: Tensor, v: Tensor) -> Tensor:
    """v·x."""
    return (x * v).clamp(0, 255).floor()


def contrast(x: Tensor, v: Tensor) -> Tensor:
    """Towards the mean of the grey."""
    return _blend(x, grey_of(x).mean((1, 2, 3), keepdim=True), v)


def saturation(x: Tensor, v: Tensor) -> Tensor:
    """Towards each pixel's grey."""
    return x if x.shape[1] == 1 else _blend(x, grey_of(x), v)


def hue(x: Tensor, v: Tensor) -> Tensor:
    """Turned by v of a full circle, by way of HSV as Pillow has it."""
    if x.shape[1] == 1:
        return x
    x = x * (1 / 255)
    r, g, b = x.unbind(1)
    low, high = x.amin(1), x.amax(1)
    spread = high - low
    divisor = torch.where(spread == 0, 1.0, spread)
    far_r, far_g, far_b = (high - r) / divisor, (high - g) / divisor, (high - b) / divisor
    sextant = torch.where(high == r, far_b - far_g, torch.where(high == g, far_r + 2.0 - far_b, far_g + 4.0 - far_r))
    h = torch.fmod(sextant * (1 / 6) + 1.0, 1.0)
    s = spread / torch.where(spread == 0, 1.0, high)
    h6 = torch.remainder(h + v.squeeze(1), 1.0) * 6
    i = h6.floor()
    f = h6 - i
    q = ((1 - s * f) * high).clamp(0, 1)
    t = ((s * f + (1 - s)) * high).clamp(0, 1)
    p = ((1 - s) * high).clamp(0, 1)
    i = torch.remainder(i, 6)  # h may have been rounded up to 1
    red = _pick(i, (high, q, p, p, t, high))
    green = _pick(i, (t, high, high, q, p, p))
    blue = _pick(i, (p, p, t, high, high, q))
    return (torch.stack((red, green, blue), 1) * 255.999).floor()


def _pick(i: Tensor, options: tuple[Tensor, ...]) -> Tensor:
    result = options[5]
    for place in range(5):
        result = torch.where(i == place, options[place], result)
    return result


def grayscale(x: Tensor, v: Tensor) -> Tensor:
    """The grey in every channel."""
    return grey_of(x).expand_as(x)


def posterize(x: Tensor, v: Tensor) -> Tensor:
    """The v upper bits."""
    step = torch.exp2(8 - v)
    return (x / step).floor() * step


def solarize(x: Tensor, v: Tensor) -> Tensor:
    """Inverted from level v on."""
    return torch.where(x >= v, 255 - x, x)


def invert(x: Tensor, v: Tensor) -> Tensor:
    """255 − x."""
    return 255 - x


def autocontrast(x: Tensor, v: Tensor) -> Tensor:
    """Each channel stretched to 0 … 255."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    flat = low == high
    scale = torch.where(flat, 1.0, (high - low) * (1 / 255))
    return ((x - torch.where(flat, 0.0, low)) / scale).clamp(0, 255).floor()


def equalize(x: Tensor, v: Tensor) -> Tensor:
    """Each channel through Pillow's table: (cumulative histogram below + step // 2) // step.

    step is the count of pixels below the highest level, // 255; with step 0 the channel stays.
    """
    levels = x.flatten(2).long()
    histogram = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=x.device)
    histogram = histogram.scatter_add(2, levels, torch.ones_like(levels))
    highest = levels.amax(2, keepdim=True)
    step = (levels.shape[2] - histogram.gather(2, highest)) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    return torch.where(step > 0, table.gather(2, levels), levels).view_as(x).to(x.dtype)


def sharpness(x: Tensor, v: Tensor) -> Tensor:
    """Away from a 3×3 mean in which the middle counts five; the border stays."""
    if min(x.shape[2:]) <= 2:
        return x
    middle = x[:, :, 1:-1, 1:-1]
    around = F.avg_pool2d(x, 3, stride=1, divisor_override=1)
    smooth = ((around + 4 * middle) / 13).round()
    blended = _added(middle, smooth - middle, 1 - v).clamp(0, 255).floor()
    height, width = x.shape[2:]
    inside = _interior(height, x.device)[:, None] & _interior(width, x.device)
    return torch.where(inside, F.pad(blended, (1, 1, 1, 1)), x)


def _interior(size: int, device: torch.device) -> Tensor:
    index = torch.arange(size, device=device)
    return (index > 0) & (index < size - 1)


def blurred(x: Tensor, sigma: Tensor, taps: tuple[int, int]) -> Tensor:
    """Gaussian of (height, width) taps, reflected at the border, rounded."""
    height, width = taps
    if height // 2 >= x.shape[2] or width // 2 >= x.shape[3]:  # a reflection needs that many other pixels
        padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2), mode="replicate")
    else:
        padded = F.pad(x, (width // 2, width // 2, height // 2, height // 2), mode="reflect")
    across = torch.zeros_like(padded[..., : x.shape[3]])
    for start, weight in enumerate(_gaussian(sigma, width)):
        across = across + weight * padded[..., start : start + x.shape[3]]
    down = torch.zeros_like(x)
    for start, weight in enumerate(_gaussian(sigma, height)):
        down = down + weight * across[:, :, start : start + x.shape[2]]
    return down.round().clamp(0, 255)


def _gaussian(sigma: Tensor, taps: int) -> list[Tensor]:
    """(N, 1, 1, 1) for each tap; they sum to 1."""
    offsets = torch.arange(taps, device=sigma.device, dtype=sigma.dtype) - (taps - 1) / 2
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    return list((weights / weights.sum(-1, keepdim=True)).chunk(taps, -1))


FUNCTIONS: dict[int, Callable[[Tensor, Tensor], Tensor]] = {
    code.BRIGHTNESS: brightness,
    code.CONTRAST: contrast,
    code.SATURATION: saturation,
    code.HUE: hue,
    code.GRAYSCALE: grayscale,
    code.POSTERIZE: posterize,
    code.SOLARIZE: solarize,
    code.INVERT: invert,
    code.AUTOCONTRAST: autocontrast,
    code.EQUALIZE: equalize,
    code.SHARPNESS: sharpness,
}
