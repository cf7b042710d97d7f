"""Geometry under construction: operations multiplied into one matrix a sample, for as long as that changes nothing.

A resampling operation that cannot join the pass (a resize after a warp, a warp after colour) begins the next one; so
pixels are those of the chain. Only neighbouring warps are made one where a chain would resample twice.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline.program import Border, Filter, Interpolation, Pass

Array = NDArray[Any]
FillLevels = tuple[float, ...] | None


@dataclass(slots=True)
class Sketch:
    """A pass being put together. Sizes are (N, 2), height and width."""

    source: Array  # sizes of the source
    size: Array = field(init=False)  # of the image as it is now
    box: Array = field(init=False)
    canvas: Array = field(init=False)
    matrix: Array = field(init=False)  # image as it is now → canvas
    window: Array = field(init=False)
    guards: list[tuple[Array, Array]] = field(default_factory=list)
    codes: list[tuple[Array, Array, tuple[int, ...]]] = field(default_factory=list)  # (N,) codes, values, which can be
    blur: tuple[int, int] = (1, 1)
    resizes: bool = False
    antialias: bool = True
    filter: Filter = "bilinear"
    on_grid: bool = True
    padded: bool = False  # some pixel may lie outside the canvas though nothing was warped
    interpolation: Interpolation = "nearest"
    border: Border = "constant"
    fill: FillLevels = (0.0,)

    def __post_init__(self) -> None:
        count = len(self.source)
        self.size = self.source
        self.box = np.concatenate((np.zeros_like(self.source), self.source), axis=1)
        self.canvas = self.source
        self.window = self.box
        self.matrix = np.broadcast_to(np.eye(3), (count, 3, 3))

    @property
    def seen(self) -> Array:
        """The image as it is now as (top, left, height, width) on the canvas; only where nothing was warped."""
        height, width = self.size[:, 0], self.size[:, 1]
        x = self.matrix[:, 0, 2], self.matrix[:, 0, 2] + self.matrix[:, 0, 0] * (width - 1)
        y = self.matrix[:, 1, 2], self.matrix[:, 1, 2] + self.matrix[:, 1, 1] * (height - 1)
        return np.stack((np.minimum(*y), np.minimum(*x), height, width), axis=1)

    def mirror(self, which: Array, axis: int) -> None:
        """Mirror samples along x (axis 0) or y (axis 1). It commutes with every colour, so it joins any pass."""
        step = _eyes(len(which))
        step[:, axis, axis] = np.where(which, -1, 1)
        step[:, axis, 2] = np.where(which, self.size[:, 1 - axis] - 1, 0)
        self._multiply(step)

    def can_crop(self) -> bool:
        """Whether a window of the image can be cut out in this pass."""
        return not self.codes and self.border == "constant"

    def crop(self, top: Array, left: Array, size: Array, *, border: Border, fill: FillLevels) -> None:
        """Cut out a window, of which a part may lie outside the image."""
        outside = bool(((top < 0) | (left < 0) | (np.stack((top, left), 1) + size > self.size).any(1)).any())
        if outside:
            self.padded, self.border, self.fill = True, border, fill
        self._multiply(_shifts(left, top))
        self.size = size

    def can_pad(self, fill: FillLevels) -> bool:
        """Whether a window may reach outside the image in this pass."""
        return self.can_crop() and self.on_grid and not self.padded

    def can_resize(self) -> bool:
        """Whether the image can be brought to another size in this pass."""
        return not (self.codes or self.resizes or self.padded) and self.on_grid

    def resize(self, size: Array, *, filter: Filter, antialias: bool) -> None:
        """Bring the image to a size."""
        if (size == self.size).all():
            return
        seen, mirrored = self.seen, self.matrix[:, [0, 1], [0, 1]]
        self.box = np.concatenate((self.box[:, :2] + seen[:, :2], seen[:, 2:]), axis=1)
        self.matrix = _eyes(len(size))
        self.matrix[:, [0, 1], [0, 1]] = mirrored
        self.matrix[:, :2, 2] = np.where(mirrored < 0, size[:, ::-1] - 1, 0)
        self.canvas = self.size = size
        self.window = np.concatenate((np.zeros_like(size), size), axis=1)
        self.resizes, self.filter, self.antialias = True, filter, antialias

    def can_warp(self, interpolation: Interpolation, fill: FillLevels) -> bool:
        """Whether the image can be warped in this pass."""
        if self.codes or self.border != "constant":
            return False
        if self.padded:  # an edge between image and padding is not the end of the image
            return interpolation == "nearest" and fill == self.fill and self.on_grid
        return self.on_grid or fill == self.fill

    def warp(self, matrices: Array, *, interpolation: Interpolation, fill: FillLevels) -> None:
        """Read the image through a matrix, output pixel → image pixel; it keeps its size."""
        if self.on_grid:
            self.window = _overlap(self.window, self.seen)
        else:  # the image in between ends where it ends, though the canvas may go on
            self.guards = [(guard @ matrices, size) for guard, size in self.guards] + [(matrices, self.size)]
        self.matrix = self.matrix @ matrices
        if self.on_grid or interpolation == "bilinear":
            self.interpolation = interpolation
        self.on_grid, self.fill = False, fill

    def _multiply(self, step: Array) -> None:
        self.matrix = self.matrix @ step
        self.guards = [(guard @ step, size) for guard, size in self.guards]

    def finish(self) -> Pass:
        """The pass. raises ConfigError where colours would go over images of several sizes."""
        size = _largest(self.size)
        if self.codes and (self.size != size).any():
            raise ConfigError(
                "the images of this batch still have several sizes where their colours change. "
                "Try a RandomResizedCrop, a CenterCrop or a Resize of two numbers before."
            )
        count = len(self.source)
        guards = np.stack([guard for guard, _ in self.guards], 1) if self.guards else np.zeros((count, 0, 3, 3))
        guard_sizes = np.stack([size for _, size in self.guards], 1) if self.guards else np.zeros((count, 0, 2))
        codes = np.stack([codes for codes, _, _ in self.codes], 1) if self.codes else np.zeros((count, 0))
        values = np.stack([values for _, values, _ in self.codes], 1) if self.codes else np.zeros((count, 0))
        return Pass(
            box=_tensor(self.box),
            canvas=_tensor(self.canvas),
            matrix=_tensor(self.matrix),
            window=_tensor(self.window),
            guards=_tensor(guards),
            guard_sizes=_tensor(guard_sizes),
            codes=torch.from_numpy(codes.astype(np.int32)),
            values=_tensor(values),
            size=size,
            canvas_size=_largest(self.canvas),
            source_size=_largest(self.source),
            resizes=self.resizes,
            antialias=self.antialias,
            filter=self.filter,
            on_grid=self.on_grid,
            interpolation=self.interpolation,
            border=self.border,
            fill=self.fill,
            slots=tuple(possible for _, _, possible in self.codes),
            blur=self.blur,
        )


def _largest(sizes: Array) -> tuple[int, int]:
    return int(sizes[:, 0].max()), int(sizes[:, 1].max())


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _eyes(count: int) -> Array:
    return np.tile(np.eye(3), (count, 1, 1))


def _shifts(x: Array, y: Array) -> Array:
    step = _eyes(len(x))
    step[:, 0, 2], step[:, 1, 2] = x, y
    return step


def _overlap(first: Array, second: Array) -> Array:
    start = np.maximum(first[:, :2], second[:, :2])
    end = np.minimum(first[:, :2] + first[:, 2:], second[:, :2] + second[:, 2:])
    return np.concatenate((start, np.maximum(end - start, 0)), axis=1)


# ---------------------------------------------------------------- matrices of warps, output pixel → input pixel


def affine_matrices(
    sizes: Array, *, angle: Array, translate: Array, scale: Array, shear: Array, center: tuple[float, float] | None
) -> Array:
    """Of torchvision's affine: the inverse of T·C·R(angle)·S(scale)·shear·C⁻¹; angle and shear (x, y) in degrees.

    center  (x, y) in pixels from the upper left corner of the image; None: its middle
    """
    rotation, (sx, sy) = np.radians(angle), np.radians(shear).T
    a = np.cos(rotation - sy) / np.cos(sy)
    b = -(a * np.tan(sx) + np.sin(rotation))
    c = np.sin(rotation - sy) / np.cos(sy)
    d = np.cos(rotation) - c * np.tan(sx)
    inverse = _eyes(len(sizes))
    inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 0], inverse[:, 1, 1] = (
        d / scale,
        -b / scale,
        -c / scale,
        a / scale,
    )
    middle = np.broadcast_to(np.array(center), sizes.shape) if center else sizes[:, ::-1] / 2
    middle = middle - 0.5  # corners at whole numbers → pixel centres at whole numbers
    back = _shifts(-middle[:, 0] - translate[:, 0], -middle[:, 1] - translate[:, 1])
    return _shifts(middle[:, 0], middle[:, 1]) @ inverse @ back


def perspective_matrices(sizes: Array, endpoints: Array, which: Array) -> Array:
    """Of torchvision's perspective that moves the corners to the endpoints (N, 4, 2).

    returns  (N, 3, 3); identity where it is not applied, or where corners meet
    """
    right, lower = sizes[:, 1] - 1.0, sizes[:, 0] - 1.0
    zero = np.zeros_like(right)
    corners = np.stack((zero, zero, right, zero, right, lower, zero, lower), axis=1).reshape(-1, 4, 2)
    x, y = endpoints[..., 0].astype(float), endpoints[..., 1].astype(float)
    one, none = np.ones_like(x), np.zeros_like(x)
    for_u = np.stack((x, y, one, none, none, none, -corners[..., 0] * x, -corners[..., 0] * y), axis=-1)
    for_v = np.stack((none, none, none, x, y, one, -corners[..., 1] * x, -corners[..., 1] * y), axis=-1)
    equations = np.concatenate((for_u, for_v), axis=1)
    wanted = np.concatenate((corners[..., 0], corners[..., 1]), axis=1)
    flat = np.abs(np.linalg.det(equations)) < 1e-9  # corners on a line: an image of a pixel or two
    equations, which = np.where(flat[:, None, None], np.eye(8), equations), which & ~flat
    solved = np.linalg.solve(equations, wanted[..., None])[..., 0]
    matrices = np.concatenate((solved, np.ones((len(sizes), 1))), axis=1).reshape(-1, 3, 3)
    half = np.full(len(sizes), 0.5)
    matrices = _shifts(-half, -half) @ matrices @ _shifts(half, half)  # torchvision counts from the pixels' corners
    return np.where(which[:, None, None], matrices, np.eye(3))
