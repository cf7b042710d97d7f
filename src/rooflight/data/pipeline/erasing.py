"""RandomErasing: a box of the result set to a value."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.parameters import TRIES, Parameters, at, chance, uniform, whole
from rooflight.data.pipeline.philox import Words

Array = NDArray[Any]
BLOCKS = TRIES + 1


def random_erasing(op: ops.RandomErasing, drawn: Words, sizes: Array) -> Parameters:
    """top, left, height, width of the first of ten boxes smaller than the image; height 0 where nothing is erased."""
    height, width = sizes[:, 0], sizes[:, 1]
    tries = drawn[:, 4:].reshape(-1, TRIES, 4)
    area = (height * width)[:, None] * uniform(tries[..., 0], *op.scale)
    ratio = np.exp(uniform(tries[..., 1], *np.log(op.ratio)))
    h, w = np.rint(np.sqrt(area * ratio)).astype(np.int64), np.rint(np.sqrt(area / ratio)).astype(np.int64)
    fits = (h < height[:, None]) & (w < width[:, None])
    first = fits.argmax(1)
    done = chance(drawn[:, 0], op.p) & fits.any(1)
    h, w = np.where(done, at(h, first), 0), np.where(done, at(w, first), 0)
    top, left = whole(at(tries[..., 2], first), height - h + 1), whole(at(tries[..., 3], first), width - w + 1)
    return {"top": top, "left": left, "height": h, "width": w}


def erased_value(
    op: ops.RandomErasing, unit: str, scale: tuple[float, ...], shift: tuple[float, ...]
) -> tuple[float, ...]:
    """The value per channel in the result's unit.

    unit    what the operation is given: "levels", "share" (0 … 1) or "result"
    raises  ConfigError for as many values as there are no channels
    """
    values = tuple(op.value)  # type: ignore[arg-type]
    if len(values) not in (1, len(scale)):
        raise ConfigError(f"RandomErasing has {len(values)} values, the images {len(scale)} channels.")
    values *= len(scale) // len(values)
    if unit == "result":
        return values
    factor = 255.0 if unit == "share" else 1.0
    return tuple(value * factor * s + b for value, s, b in zip(values, scale, shift, strict=True))
