"""RandAugment and TrivialAugmentWide: operations drawn from torchvision's table, one pass for each that is drawn.

Each is a pass of its own: what colour comes before geometry, and what is filled, is then as in torchvision's chain.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline import program as code
from rooflight.data.pipeline.compile import Compiler
from rooflight.data.pipeline.geometry import affine_matrices
from rooflight.data.pipeline.parameters import Parameters, uniform, whole
from rooflight.data.pipeline.philox import Words

Array = NDArray[Any]

NAMES = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
SIGNED = NAMES[1:10]
CODES = {
    "Brightness": code.BRIGHTNESS,
    "Color": code.SATURATION,
    "Contrast": code.CONTRAST,
    "Sharpness": code.SHARPNESS,
    "Posterize": code.POSTERIZE,
    "Solarize": code.SOLARIZE,
    "AutoContrast": code.AUTOCONTRAST,
    "Equalize": code.EQUALIZE,
}
Table = Callable[[int, Array], dict[str, Array]]


def rand_augment_bins(count: int, sizes: Array) -> dict[str, Array]:
    """The magnitudes of each operation, (count,) or (N, count); what is missing has none."""
    reach = np.linspace(0.0, 150.0 / 331.0, count)
    factors = np.linspace(0.0, 0.9, count)
    return {
        **dict.fromkeys(("ShearX", "ShearY"), np.linspace(0.0, 0.3, count)),
        "TranslateX": sizes[:, 1, None] * reach,
        "TranslateY": sizes[:, 0, None] * reach,
        "Rotate": np.linspace(0.0, 30.0, count),
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), factors),
        "Posterize": np.rint(8 - np.arange(count) / ((count - 1) / 4)),
        "Solarize": np.linspace(1.0, 0.0, count),
    }


def trivial_augment_bins(count: int, sizes: Array) -> dict[str, Array]:
    """The magnitudes of each operation, (count,); what is missing has none."""
    wide = np.linspace(0.0, 0.99, count)
    return {
        **dict.fromkeys(("ShearX", "ShearY", "Brightness", "Color", "Contrast", "Sharpness"), wide),
        **dict.fromkeys(("TranslateX", "TranslateY"), np.linspace(0.0, 32.0, count)),
        "Rotate": np.linspace(0.0, 135.0, count),
        "Posterize": np.rint(8 - np.arange(count) / ((count - 1) / 6)),
        "Solarize": np.linspace(1.0, 0.0, count),
    }


def rand_augment(op: ops.RandAugment, drawn: Words, sizes: Array) -> Parameters:
    """choice and magnitude, (N, num_ops): index into NAMES, and what it is done with; magnitude 0 where it has none."""
    drawn = drawn.reshape(len(drawn), op.num_ops, 4)
    place = np.full(drawn.shape[:2], op.magnitude)
    return _chosen(drawn, place, rand_augment_bins(op.num_magnitude_bins, sizes))


def trivial_augment(op: ops.TrivialAugmentWide, drawn: Words, sizes: Array) -> Parameters:
    """choice and magnitude, (N, 1), as RandAugment's."""
    place = whole(drawn[:, None, 2], op.num_magnitude_bins)
    return _chosen(drawn[:, None, :], place, trivial_augment_bins(op.num_magnitude_bins, sizes))


def _chosen(drawn: Words, place: Array, bins: dict[str, Array]) -> Parameters:
    """drawn (N, K, 4): which, the sign; place (N, K): which magnitude."""
    choice, sign = whole(drawn[..., 0], len(NAMES)), np.where(uniform(drawn[..., 1]) < 0.5, -1.0, 1.0)
    magnitude = np.zeros(choice.shape)
    for index, name in enumerate(NAMES):
        if name in bins:
            table = np.broadcast_to(bins[name], (len(choice), bins[name].shape[-1]))
            value = np.take_along_axis(table, place, axis=1) * (sign if name in SIGNED else 1.0)
            magnitude = np.where(choice == index, value, magnitude)
    return {"choice": choice, "magnitude": magnitude}


def add_policy(compiler: Compiler, op: Any, drawn: Parameters) -> bool:
    """Put the drawn operations into the program; False if it is no policy."""
    if not isinstance(op, ops.RandAugment | ops.TrivialAugmentWide):
        return False
    for choice, magnitude in zip(drawn["choice"].T, drawn["magnitude"].T, strict=True):
        compiler.warp(warps(choice, magnitude, compiler.sketch.size), op.interpolation, op.fill)
        compiler.colour(*colours(choice, magnitude), tuple(CODES.values()))
    return True


def warps(choice: Array, magnitude: Array, sizes: Array) -> Array:
    """(N, 3, 3): output pixel → input pixel; identity where the choice is no warp."""
    still, none, one = np.zeros((len(choice), 2)), np.zeros(len(choice)), np.ones(len(choice))
    lean, whole_shift = np.degrees(np.arctan(magnitude)), np.trunc(magnitude)
    settings: dict[str, dict[str, Any]] = {
        "ShearX": {"shear": np.stack((lean, none), 1), "center": (0.0, 0.0)},
        "ShearY": {"shear": np.stack((none, lean), 1), "center": (0.0, 0.0)},
        "TranslateX": {"translate": np.stack((whole_shift, none), 1)},
        "TranslateY": {"translate": np.stack((none, whole_shift), 1)},
        "Rotate": {"angle": -magnitude},  # torchvision's rotate turns the other way about than its affine
    }
    result = np.tile(np.eye(3), (len(choice), 1, 1))
    for name, setting in settings.items():
        plain = {"angle": none, "translate": still, "scale": one, "shear": still, "center": None}
        made = affine_matrices(sizes, **{**plain, **setting})
        result = np.where((choice == NAMES.index(name))[:, None, None], made, result)
    return result


def colours(choice: Array, magnitude: Array) -> tuple[Array, Array]:
    """(N,) codes and values; IDENTITY where the choice is no colour."""
    codes, values = np.full(len(choice), code.IDENTITY), np.zeros(len(choice))
    for name, kind in CODES.items():
        mine = choice == NAMES.index(name)
        value = {"Posterize": np.trunc(magnitude), "Solarize": 255.0 * magnitude}.get(name, 1.0 + magnitude)
        codes, values = np.where(mine, kind, codes), np.where(mine, value, values)
    return codes, values
