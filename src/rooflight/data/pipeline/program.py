"""What an engine receives: a batch's pipeline with everything drawn, as a few small tensors and a few constants.

A program is a list of passes. In each pass an engine reads every source pixel that it needs once and writes every
output pixel once; nearly every pipeline is one pass. A pass has three steps, and a pixel is a **whole level 0 to 255**
after each of them, as in a uint8 tensor that torchvision's operations go over one by one:

1. *resize*: the box of the source is brought to the canvas. Horizontally first, rounded, then vertically, rounded, as
   Pillow and torchvision do on the CPU. Along one axis with scale = box / canvas and, when antialias is set,
   support = max(scale, 1), else 1, canvas pixel i is the mean of the box's pixels j, weighed by the triangle
   max(0, 1 − |j + ½ − (i + ½)·scale| / support), over the j with ⌊(i + ½)·scale − support + ½⌋ ≤ j <
   ⌊(i + ½)·scale + support + ½⌋ inside the box; the weights are divided by their sum, then rounded to whole parts of
   2^bits, the most bits with which the axis's largest still fits into 15, as torchvision's kernel multiplies by. (An
   engine that leaves them in float32 is off by one level in about one value of a hundred.) Rounding is ⌊x + ½⌋,
   held within 0 … 255. Where box and canvas have the same size, nothing changes. The filter "bicubic", always with
   antialias, has twice the support and in place of the triangle Keys' cubic with a = −½: of t = |j + ½ − (i + ½)·scale|
   / max(scale, 1), it is 1.5·t³ − 2.5·t² + 1 up to t = 1, and −0.5·t³ + 2.5·t² − 4·t + 2 from there to t = 2.
2. *warp*: output pixel (x, y) is read from the canvas at (u, v), (u·w, v·w, w) = matrix · (x, y, 1). Coordinates are
   indices: the centre of the first pixel is at 0. "nearest" reads the pixel at (round(u), round(v)), halves to even;
   "bilinear" sums the four around it, rounds halves to even. What lies outside the window, or outside a guard, is fill.
3. *colour*: each sample's list of (code, value), in its own order. The formulas stand beside the codes.

After the last pass: levels to the output's dtype, normalised, boxes erased, samples mixed.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from rooflight.core.errors import ShapeError

Interpolation = Literal["nearest", "bilinear"]
Filter = Literal["nearest", "bilinear", "bicubic"]
Border = Literal["constant", "edge", "reflect", "symmetric"]
OutputDtype = Literal["uint8", "float32", "float16", "bfloat16"]

# Codes of the colour step. x: a channel's level; v: the value; grey: ⌊0.2989·R + 0.587·G + 0.114·B⌋ of the pixel (the
# level itself where there is one channel); mean, min, max and histogram: over the sample as it is then.
IDENTITY = 0
BRIGHTNESS = 1  # ⌊clamp(v·x)⌋, clamp to 0 … 255
CONTRAST = 2  # ⌊clamp(v·x + (1 − v)·mean(grey))⌋
SATURATION = 3  # ⌊clamp(v·x + (1 − v)·grey)⌋
HUE = 4  # by HSV: hue + v, modulo 1; then ⌊255.999·x⌋ of the channel in 0 … 1
GRAYSCALE = 5  # all channels: the grey
POSTERIZE = 6  # the v upper bits of x; the others are 0
SOLARIZE = 7  # 255 − x where x ≥ v
INVERT = 8  # 255 − x
AUTOCONTRAST = 9  # per channel: ⌊clamp((x − min)·255 / (max − min))⌋; x where max = min
EQUALIZE = 10  # per channel: Pillow's table from the histogram; colour.py has it
SHARPNESS = (
    11  # ⌊clamp(v·x + (1 − v)·round(smooth))⌋, smooth: 3×3, weights 1, the middle 5, over 13; the border keeps x
)
BLUR = 12  # Gaussian of standard deviation v, Pass.blur taps (height, width), reflected at the border, rounded
NEIGHBOURS = (SHARPNESS, BLUR)  # codes that read other pixels
STATISTICS = (CONTRAST, AUTOCONTRAST, EQUALIZE)  # codes that need a first look at all pixels of the sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One reading of the source and one writing of the result. Tensors differ by sample; the rest is the batch's."""

    box: Tensor  # float32 (N, 4): top, left, height, width in source pixels, whole numbers, inside the source
    canvas: Tensor  # float32 (N, 2): height, width that the box is resized to, whole numbers
    matrix: Tensor  # float32 (N, 3, 3): output pixel → canvas pixel
    window: Tensor  # float32 (N, 4): top, left, height, width of the part of the canvas that is seen, whole numbers
    guards: Tensor  # float32 (N, K, 3, 3): output pixel → pixel of an image between two warps; K is 0 but for several
    guard_sizes: Tensor  # float32 (N, K, 2): its height and width
    codes: Tensor  # int32 (N, S)
    values: Tensor  # float32 (N, S)
    size: tuple[int, int]  # height and width of the output
    canvas_size: tuple[int, int]  # the largest canvas of the batch
    source_size: tuple[int, int]  # the largest source of the batch
    resizes: bool  # False: canvas = box for every sample, and the step copies
    antialias: bool
    filter: Filter  # of the resize; "nearest" reads pixel ⌊i·scale⌋ of the box
    on_grid: bool  # True: each matrix only mirrors and shifts by whole pixels, so that rows come from rows
    interpolation: Interpolation  # of the warp
    border: Border  # what lies outside the window; other than "constant" only where on_grid
    fill: tuple[float, ...] | None  # levels, one or one a channel; None: 0, and "bilinear" does not fade to it (below)
    slots: tuple[tuple[int, ...], ...]  # the codes that can stand at each of the S places
    blur: tuple[int, int]  # taps (height, width) of BLUR, odd; (1, 1) where there is none

    # "bilinear" at an edge, as torchvision: s, the sum over the taps inside the window, and m, the sum of their
    # weights, give m·(s − fill) + fill; with fill None, s alone. A guard's weight multiplies m likewise.


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Samples mixed in pairs after everything else: out = weight·own + (1 − weight)·partner's, or a box pasted."""

    partner: Tensor  # int64 (N,): index into the batch
    weight: Tensor  # float32 (N,): the own share of the label; of the pixels too where paste is empty
    paste: Tensor  # float32 (N, 4): top, left, height, width of the partner's box; height 0: blended, not pasted


Part = TypeVar("Part", Pass, Mix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A batch of N samples, everything drawn."""

    passes: tuple[Pass, ...]
    source_channels: int  # of the images
    channels: int  # of the output: the source's, or 1 after Grayscale(1), or 3 from grey
    dtype: OutputDtype
    channels_last: bool
    scale: tuple[float, ...]  # result = level·scale + shift, per channel; uint8: 1 and 0
    shift: tuple[float, ...]
    erase: Tensor | None  # float32 (N, E, 4): top, left, height, width; height 0: nothing is erased
    erase_value: tuple[tuple[float, ...], ...]  # E × channels, in units of the result
    mix: Mix | None

    @property
    def samples(self) -> int:
        """N."""
        return len(self.passes[0].box)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return self.passes[-1].size

    def to(self, device: torch.device | str) -> "Program":
        """The same on another device. The host does not wait: the driver stages tensors as small as these."""
        mix = None if self.mix is None else _move(self.mix, device)
        erase = None if self.erase is None else self.erase.to(device, non_blocking=True)
        return replace(self, passes=tuple(_move(step, device) for step in self.passes), erase=erase, mix=mix)


def _move(part: Part, device: torch.device | str) -> Part:
    """A dataclass with its tensors moved."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    moved: dict[str, Any] = {
        key: value.to(device, non_blocking=True) for key, value in values.items() if isinstance(value, Tensor)
    }
    return replace(part, **moved)


def check_source(program: Program, images: Tensor) -> None:
    """Raise ShapeError unless these are uint8 (N, C, H, W) images that the program was made for."""
    first = program.passes[0]
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise ShapeError(
            f"a pipeline takes uint8 images (N, C, H, W), it was given {str(images.dtype).removeprefix('torch.')} "
            f"{tuple(images.shape)}. Try images.unsqueeze(0) for one image, (images * 255).byte() for floats in 0 … 1."
        )
    if len(images) != program.samples or tuple(images.shape[2:]) != first.source_size:
        raise ShapeError(
            f"the draws are for {program.samples} images of {first.source_size}, "
            f"the batch has {len(images)} of {tuple(images.shape[2:])}. Try drawing again for this batch."
        )
    if images.shape[1] != program.source_channels:
        raise ShapeError(
            f"the program is for images of {program.source_channels} channels, these have {images.shape[1]}. "
            f"Try compile(draws, sizes, channels={images.shape[1]})."
        )
