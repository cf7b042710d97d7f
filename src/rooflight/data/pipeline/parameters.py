"""From random words to an operation's parameters, distributed as torchvision's. In float64, on the host, by sample."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.philox import Words

Array = NDArray[Any]
Parameters = dict[str, Array]  # each (N,) or (N, …): one row a sample

TRIES = 10  # of a random box, as torchvision


def uniform(drawn: Words, least: float = 0.0, most: float = 1.0) -> Array:
    """Words to numbers from least to below most."""
    return least + (most - least) * (drawn.astype(np.float64) / 2**32)


def whole(drawn: Words, count: Array | int) -> Array:
    """Words to whole numbers 0 … count − 1."""
    return ((drawn * np.asarray(count, np.uint64)) >> np.uint64(32)).astype(np.int64)


def chance(drawn: Words, p: float) -> Array:
    """Words to booleans, true with probability p."""
    return uniform(drawn) < p


# ---------------------------------------------------------------- geometry


def random_resized_crop(op: ops.RandomResizedCrop, drawn: Words, sizes: Array) -> Parameters:
    """top, left, height, width of the first of ten boxes that fits; the middle, of the nearest ratio, if none does."""
    height, width = sizes[:, 0], sizes[:, 1]
    tries = drawn.reshape(-1, TRIES, 4)
    area = (height * width)[:, None] * uniform(tries[..., 0], *op.scale)
    ratio = np.exp(uniform(tries[..., 1], *np.log(op.ratio)))
    w, h = np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)
    fits = (w > 0) & (w <= width[:, None]) & (h > 0) & (h <= height[:, None])
    first = fits.argmax(1)
    h, w = at(h, first), at(w, first)
    top, left = (
        whole(at(tries[..., 2], first), np.maximum(height - h + 1, 1)),
        whole(at(tries[..., 3], first), np.maximum(width - w + 1, 1)),
    )
    shape = width / height
    middle_w = np.where(shape > op.ratio[1], np.rint(height * op.ratio[1]).astype(np.int64), width)
    middle_h = np.where(shape < op.ratio[0], np.rint(width / op.ratio[0]).astype(np.int64), height)
    found = fits.any(1)
    return {
        "top": np.where(found, top, (height - middle_h) // 2),
        "left": np.where(found, left, (width - middle_w) // 2),
        "height": np.where(found, h, middle_h),
        "width": np.where(found, w, middle_w),
    }


def at(table: Array, place: Array) -> Array:
    """Row i's item at place[i]."""
    return table[np.arange(len(table)), place]


def random_crop(op: ops.RandomCrop, drawn: Words, sizes: Array) -> Parameters:
    """top and left of the window in the image, below 0 in the border."""
    left, upper, right, lower = op.padding or (0, 0, 0, 0)  # type: ignore[misc]
    height, width = op.size  # type: ignore[misc]
    padded = sizes + np.array([upper + lower, left + right])
    before = np.broadcast_to([upper, left], sizes.shape)
    if op.pad_if_needed:
        missing = np.maximum(np.array([height, width]) - padded, 0)
        padded, before = padded + 2 * missing, before + missing
    if (padded < (height, width)).any():
        row = int((padded < (height, width)).any(1).argmax())
        raise ConfigError(
            f"RandomCrop: the window is {height}×{width}, image {row} of the batch with its padding is "
            f"{padded[row, 0]}×{padded[row, 1]}. Try pad_if_needed=True, or a Resize before it."
        )
    free = padded - (height, width) + 1
    return {"top": whole(drawn[:, 0], free[:, 0]) - before[:, 0], "left": whole(drawn[:, 1], free[:, 1]) - before[:, 1]}


def random_rotation(op: ops.RandomRotation, drawn: Words, sizes: Array) -> Parameters:
    """angle in degrees, positive to the left."""
    return {"angle": uniform(drawn[:, 0], *op.degrees)}  # type: ignore[misc]


def random_affine(op: ops.RandomAffine, drawn: Words, sizes: Array) -> Parameters:
    """angle (degrees, positive to the right), translate (x, y) in whole pixels, scale, shear (x, y) in degrees."""
    translate = op.translate or (0.0, 0.0)
    most = sizes[:, ::-1] * translate
    shear = op.shear or (0.0, 0.0)
    sheared_x = uniform(drawn[:, 4], *shear[:2])  # type: ignore[index]
    sheared_y = uniform(drawn[:, 5], *shear[2:]) if len(shear) == 4 else np.zeros(len(drawn))  # type: ignore[arg-type,index]
    return {
        "angle": uniform(drawn[:, 0], *op.degrees),  # type: ignore[misc]
        "translate": np.rint(most * uniform(drawn[:, 1:3], -1.0, 1.0)),
        "scale": uniform(drawn[:, 3], *(op.scale or (1.0, 1.0))),
        "shear": np.stack((sheared_x, sheared_y), axis=1),
    }


def random_perspective(op: ops.RandomPerspective, drawn: Words, sizes: Array) -> Parameters:
    """applied, and endpoints (4, 2): where the corners go, (x, y), clockwise from the upper left."""
    height, width = sizes[:, 0], sizes[:, 1]
    bound_y = (op.distortion_scale * (height // 2)).astype(np.int64) + 1
    bound_x = (op.distortion_scale * (width // 2)).astype(np.int64) + 1
    x = whole(drawn[:, 1:5], bound_x[:, None])
    y = whole(drawn[:, 5:9], bound_y[:, None])
    x[:, 1:3] += (width - bound_x)[:, None]  # the corners on the right and at the bottom move in from there
    y[:, 2:4] += (height - bound_y)[:, None]
    return {"applied": chance(drawn[:, 0], op.p), "endpoints": np.stack((x, y), axis=-1)}


# ---------------------------------------------------------------- colour


def color_jitter(op: ops.ColorJitter, drawn: Words, sizes: Array) -> Parameters:
    """Factors by name, and order (N, K): the first, the second, …; brightness 0, contrast 1, saturation 2, hue 3."""
    names = ("brightness", "contrast", "saturation", "hue")
    used = [index for index, name in enumerate(names) if getattr(op, name) is not None]
    order = np.array(used, np.int64)[np.argsort(drawn[:, used], axis=1, kind="stable")]
    factors = {names[index]: uniform(drawn[:, 4 + index], *getattr(op, names[index])) for index in used}
    factors = {
        name: values.astype(np.float32).astype(float) for name, values in factors.items()
    }  # as engines take them
    return {"order": order, **factors}


def gaussian_blur(op: ops.GaussianBlur, drawn: Words, sizes: Array) -> Parameters:
    """sigma in pixels."""
    return {"sigma": uniform(drawn[:, 0], *op.sigma)}  # type: ignore[misc]


def applied(op: Any, drawn: Words, sizes: Array) -> Parameters:
    """Of an operation that is applied with probability p, or not."""
    return {"applied": chance(drawn[:, 0], op.p)}


def nothing(op: Any, drawn: Words, sizes: Array) -> Parameters:
    """Of an operation that draws nothing."""
    return {}


DRAWN: dict[type, tuple[int, Callable[..., Parameters]]] = {  # blocks of four words, and what is made of them
    ops.RandomResizedCrop: (TRIES, random_resized_crop),
    ops.RandomCrop: (1, random_crop),
    ops.RandomRotation: (1, random_rotation),
    ops.RandomAffine: (2, random_affine),
    ops.RandomPerspective: (3, random_perspective),
    ops.ColorJitter: (2, color_jitter),
    ops.GaussianBlur: (1, gaussian_blur),
    **dict.fromkeys(
        (
            *(ops.RandomHorizontalFlip, ops.RandomVerticalFlip, ops.RandomGrayscale, ops.RandomInvert),
            *(ops.RandomPosterize, ops.RandomSolarize, ops.RandomAutocontrast, ops.RandomEqualize),
            ops.RandomAdjustSharpness,
        ),
        (1, applied),
    ),
    **dict.fromkeys((ops.Resize, ops.CenterCrop, ops.Grayscale, ops.ToDtype, ops.Normalize), (0, nothing)),
}
