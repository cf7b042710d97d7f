"""From geometry and colours with their parameters to passes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline import program as code
from rooflight.data.pipeline.arguments import Fill
from rooflight.data.pipeline.geometry import Sketch, affine_matrices, perspective_matrices
from rooflight.data.pipeline.parameters import Parameters
from rooflight.data.pipeline.program import Pass

Array = NDArray[Any]
JITTER = (code.BRIGHTNESS, code.CONTRAST, code.SATURATION, code.HUE)  # in the order of ColorJitter's parameters
NAMES = ("brightness", "contrast", "saturation", "hue")


class Compiler:
    """Passes as they grow, operation by operation."""

    def __init__(self, sizes: Array) -> None:
        self.sketch = Sketch(sizes)
        self.done: list[Pass] = []

    def next_pass(self) -> None:
        """Close the pass; what comes reads its result."""
        self.done.append(self.sketch.finish())
        self.sketch = Sketch(self.sketch.size)

    def resize(self, size: Array, filter: code.Filter, antialias: bool) -> None:
        """Bring every image to its size."""
        if (size != self.sketch.size).any() and not self.sketch.can_resize():
            self.next_pass()
        self.sketch.resize(size, filter=filter, antialias=antialias)

    def crop(
        self, top: Array, left: Array, size: Array, *, border: code.Border = "constant", fill: Fill = (0.0,)
    ) -> None:
        """Cut a window out of every image."""
        sketch = self.sketch
        outside = bool(((top < 0) | (left < 0) | (np.stack((top, left), 1) + size > sketch.size).any(1)).any())
        if not (sketch.can_pad(fill) if outside else sketch.can_crop()):  # type: ignore[arg-type]
            self.next_pass()
        self.sketch.crop(top, left, size, border=border, fill=fill)  # type: ignore[arg-type]

    def warp(self, matrices: Array, interpolation: code.Interpolation, fill: Fill) -> None:
        """Read every image through its matrix."""
        if not self.sketch.can_warp(interpolation, fill):  # type: ignore[arg-type]
            self.next_pass()
        self.sketch.warp(matrices, interpolation=interpolation, fill=fill)  # type: ignore[arg-type]

    def colour(self, codes: Array, values: Array, possible: tuple[int, ...]) -> None:
        """One more place in every sample's list."""
        self.sketch.codes.append((codes, values, possible))

    def finish(self) -> tuple[Pass, ...]:
        """All passes. raises ConfigError where the images come out in several sizes."""
        sizes = self.sketch.size
        if (sizes != sizes[0]).any():
            low, high = sizes.min(0), sizes.max(0)
            raise ConfigError(
                f"the images come out in several sizes, {low[0]}×{low[1]} to {high[0]}×{high[1]}. "
                "Try a RandomResizedCrop, a CenterCrop or a Resize of two numbers."
            )
        return (*self.done, self.sketch.finish())

    def applied(self, kind: int, which: Array, value: float = 0.0) -> None:
        """One colour operation, for some samples."""
        codes = np.where(which, kind, code.IDENTITY)
        self.colour(codes, np.full(len(codes), value), (kind,))


def add_geometry(compiler: Compiler, op: Any, drawn: Parameters) -> bool:
    """Put one operation of geometry into the program; False if it is none."""
    sizes = compiler.sketch.size
    count = len(sizes)
    match op:
        case ops.Resize():
            compiler.resize(resized(op, sizes), op.interpolation, op.antialias)
        case ops.CenterCrop():
            size = np.broadcast_to(np.array(op.size), (count, 2))
            start = centred(sizes, size)
            compiler.crop(start[:, 0], start[:, 1], size)
        case ops.RandomResizedCrop():
            size = np.stack((drawn["height"], drawn["width"]), axis=1)
            compiler.crop(drawn["top"], drawn["left"], size)
            compiler.resize(np.broadcast_to(np.array(op.size), (count, 2)), op.interpolation, op.antialias)
        case ops.RandomCrop():
            size = np.broadcast_to(np.array(op.size), (count, 2))
            compiler.crop(drawn["top"], drawn["left"], size, border=op.padding_mode, fill=op.fill)
        case ops.RandomHorizontalFlip():
            compiler.sketch.mirror(drawn["applied"], 0)
        case ops.RandomVerticalFlip():
            compiler.sketch.mirror(drawn["applied"], 1)
        case ops.RandomRotation():
            still, one = np.zeros((count, 2)), np.ones(count)
            matrices = affine_matrices(
                sizes, angle=-drawn["angle"], translate=still, scale=one, shear=still, center=op.center
            )
            compiler.warp(matrices, op.interpolation, op.fill)
        case ops.RandomAffine():
            compiler.warp(affine_matrices(sizes, center=op.center, **drawn), op.interpolation, op.fill)
        case ops.RandomPerspective():
            matrices = perspective_matrices(sizes, drawn["endpoints"], drawn["applied"])
            compiler.warp(matrices, op.interpolation, op.fill)
        case _:
            return False
    return True


def resized(op: ops.Resize, sizes: Array) -> Array:
    """The size that torchvision's Resize gives each image: the long side is rounded down."""
    if len(op.size) == 2:  # type: ignore[arg-type]
        return np.broadcast_to(np.array(op.size), sizes.shape)
    short, long = sizes.min(1), sizes.max(1)
    new_short = np.full(len(sizes), op.size[0])  # type: ignore[index]
    new_long = new_short * long // short
    if op.max_size is not None:
        too_long = new_long > op.max_size
        new_short = np.where(too_long, np.maximum(op.max_size * new_short // new_long, 1), new_short)
        new_long = np.where(too_long, op.max_size, new_long)
    tall = sizes[:, 0] >= sizes[:, 1]
    return np.stack((np.where(tall, new_long, new_short), np.where(tall, new_short, new_long)), axis=1)


def centred(sizes: Array, size: Array) -> Array:
    """Where torchvision's CenterCrop begins (top, left), below 0 where the image is smaller."""
    free = sizes - size
    return np.where(free < 0, -((-free) // 2), np.rint(free / 2).astype(np.int64))


def add_colour(compiler: Compiler, op: Any, drawn: Parameters) -> bool:
    """Put one operation of colour into the program; False if it is none."""
    everyone = np.ones(len(compiler.sketch.size), bool)
    match op:
        case ops.ColorJitter():
            factors = np.stack([drawn.get(name, np.zeros(len(everyone))) for name in NAMES], axis=1)
            possible = tuple(kind for kind, name in zip(JITTER, NAMES, strict=True) if name in drawn)
            for order in drawn["order"].T:
                values = np.take_along_axis(factors, order[:, None], axis=1)[:, 0]
                compiler.colour(np.array(JITTER)[order], values, possible)
        case ops.Grayscale():
            compiler.applied(code.GRAYSCALE, everyone)
        case ops.RandomGrayscale():
            compiler.applied(code.GRAYSCALE, drawn["applied"])
        case ops.RandomInvert():
            compiler.applied(code.INVERT, drawn["applied"])
        case ops.RandomPosterize():
            compiler.applied(code.POSTERIZE, drawn["applied"], op.bits)
        case ops.RandomSolarize():
            compiler.applied(code.SOLARIZE, drawn["applied"], op.threshold)
        case ops.RandomAutocontrast():
            compiler.applied(code.AUTOCONTRAST, drawn["applied"])
        case ops.RandomEqualize():
            compiler.applied(code.EQUALIZE, drawn["applied"])
        case ops.RandomAdjustSharpness():
            compiler.applied(code.SHARPNESS, drawn["applied"], op.sharpness_factor)
        case ops.GaussianBlur():
            taps = (op.kernel_size[1], op.kernel_size[0])  # type: ignore[index]
            if compiler.sketch.blur not in ((1, 1), taps):
                compiler.next_pass()
            compiler.sketch.blur = taps
            compiler.colour(np.full(len(everyone), code.BLUR), drawn["sigma"], (code.BLUR,))
        case _:
            return False
    return True
