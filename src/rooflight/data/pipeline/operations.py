"""The operations of a pipeline: torchvision v2's names, argument names and defaults, as plain frozen data."""

import math
from typing import Literal

from rooflight.data.pipeline.arguments import (
    Fill,
    Range,
    Size,
    angles_of,
    as_tuple,
    check_choice,
    check_filter,
    check_probability,
    fill_of,
    jitter_of,
    keep,
    operation,
    pair_of,
    refuse,
    square,
    whole_sizes,
)
from rooflight.data.pipeline.program import Border, Filter, Interpolation, OutputDtype

# ---------------------------------------------------------------- geometry


@operation
class Resize:
    """To a size (height, width); one number is the shorter side, which keeps the aspect."""

    size: Size
    interpolation: Filter = "bilinear"
    max_size: int | None = None
    antialias: bool = True

    def __post_init__(self) -> None:
        keep(self, size=whole_sizes(self, "size", self.size, lengths=(1, 2)))
        check_filter(self)
        if self.max_size is not None and (len(as_tuple(self.size)) != 1 or self.max_size <= as_tuple(self.size)[0]):
            refuse(self, "max_size", self.max_size, "one number as size, below max_size")


@operation
class CenterCrop:
    """The middle (height, width); where the image is smaller, black is put around it."""

    size: Size

    def __post_init__(self) -> None:
        keep(self, size=square(whole_sizes(self, "size", self.size, lengths=(1, 2))))


@operation
class RandomResizedCrop:
    """A box of random area and aspect, brought to one size."""

    size: Size
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3.0 / 4.0, 4.0 / 3.0)
    interpolation: Filter = "bilinear"
    antialias: bool = True

    def __post_init__(self) -> None:
        keep(self, size=square(whole_sizes(self, "size", self.size, lengths=(1, 2))))
        keep(self, scale=pair_of(self, "scale", self.scale, least=0), ratio=pair_of(self, "ratio", self.ratio, least=0))
        if min(self.ratio) <= 0 or max(self.scale) <= 0:
            refuse(self, "ratio or scale", (self.scale, self.ratio), "numbers above 0")
        check_filter(self)


@operation
class RandomCrop:
    """A window at a random place, of the image with a border around it (left, top, right, bottom)."""

    size: Size
    padding: Size | None = None
    pad_if_needed: bool = False
    fill: Fill = 0
    padding_mode: Border = "constant"

    def __post_init__(self) -> None:
        keep(self, size=square(whole_sizes(self, "size", self.size, lengths=(1, 2))), fill=fill_of(self, self.fill))
        if self.padding is not None:
            padding = whole_sizes(self, "padding", self.padding, lengths=(1, 2, 4), least=0)
            keep(self, padding=padding * (4 // len(padding)))
        check_choice(self, "padding_mode", ("constant", "edge", "reflect", "symmetric"))


@operation
class RandomHorizontalFlip:
    """Left and right changed, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomVerticalFlip:
    """Top and bottom changed, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomRotation:
    """About the centre, or a given one (x, y). Degrees: −degrees to degrees, or from and to; positive: left about."""

    degrees: Range
    interpolation: Interpolation = "nearest"
    expand: bool = False
    center: tuple[float, float] | None = None
    fill: Fill = 0

    def __post_init__(self) -> None:
        keep(self, degrees=angles_of(self, "degrees", self.degrees, (2,)), fill=fill_of(self, self.fill))
        check_choice(self, "interpolation", ("nearest", "bilinear"))
        if self.expand:
            refuse(self, "expand", True, "False: every image of a batch has one size. Try a larger Resize after it")


@operation
class RandomAffine:
    """Rotation (degrees; positive: right about), shift (share of the size), scale and shear (degrees) in one."""

    degrees: Range
    translate: tuple[float, float] | None = None
    scale: tuple[float, float] | None = None
    shear: Range | None = None
    interpolation: Interpolation = "nearest"
    fill: Fill = 0
    center: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        keep(self, degrees=angles_of(self, "degrees", self.degrees, (2,)), fill=fill_of(self, self.fill))
        if self.shear is not None:
            keep(self, shear=angles_of(self, "shear", self.shear, (2, 4)))
        if self.scale is not None and min(self.scale) <= 0:
            refuse(self, "scale", self.scale, "numbers above 0")
        if self.translate is not None and not all(0 <= part <= 1 for part in self.translate):
            refuse(self, "translate", self.translate, "shares from 0 to 1")
        check_choice(self, "interpolation", ("nearest", "bilinear"))


@operation
class RandomPerspective:
    """The four corners moved inwards at random, with probability p."""

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: Interpolation = "bilinear"
    fill: Fill = 0

    def __post_init__(self) -> None:
        keep(self, fill=fill_of(self, self.fill))
        check_probability(self)
        if not 0 <= self.distortion_scale <= 1:
            refuse(self, "distortion_scale", self.distortion_scale, "a number from 0 to 1")
        check_choice(self, "interpolation", ("nearest", "bilinear"))


# ---------------------------------------------------------------- colour


@operation
class ColorJitter:
    """Brightness, contrast, saturation and hue in random order; a number x is the range 1 − x to 1 + x, hue −x to x."""

    brightness: Range | None = None
    contrast: Range | None = None
    saturation: Range | None = None
    hue: Range | None = None

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            keep(self, **{name: jitter_of(self, name, getattr(self, name), centre=1.0, least=0.0, most=float("inf"))})
        keep(self, hue=jitter_of(self, "hue", self.hue, centre=0.0, least=-0.5, most=0.5))


@operation
class Grayscale:
    """Grey, in one channel or the same in three."""

    num_output_channels: int = 1

    def __post_init__(self) -> None:
        check_choice(self, "num_output_channels", (1, 3))


@operation
class RandomGrayscale:
    """Grey in all channels, with probability p."""

    p: float = 0.1

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomInvert:
    """255 − x, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomPosterize:
    """Only the upper bits are kept, with probability p."""

    bits: int
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)
        if not 0 <= self.bits <= 8:
            refuse(self, "bits", self.bits, "a number from 0 to 8")


@operation
class RandomSolarize:
    """255 − x from a level on, with probability p."""

    threshold: float
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)
        if not 0 <= self.threshold <= 255:
            refuse(self, "threshold", self.threshold, "a level from 0 to 255")


@operation
class RandomAutocontrast:
    """Each channel stretched to 0 … 255, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomEqualize:
    """Each channel's histogram made even, with probability p."""

    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)


@operation
class RandomAdjustSharpness:
    """Sharpness by a factor (0: blurred, 1: as it is), with probability p."""

    sharpness_factor: float
    p: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self)
        if not self.sharpness_factor >= 0:
            refuse(self, "sharpness_factor", self.sharpness_factor, "a number from 0")


@operation
class GaussianBlur:
    """Blurred with kernel_size (x, y) taps and a standard deviation drawn from sigma, in pixels."""

    kernel_size: Size
    sigma: Range = (0.1, 2.0)

    def __post_init__(self) -> None:
        keep(self, kernel_size=square(whole_sizes(self, "kernel_size", self.kernel_size, lengths=(1, 2))))
        sigma = as_tuple(self.sigma)
        keep(self, sigma=pair_of(self, "sigma", sigma * 2 if len(sigma) == 1 else sigma, least=0))
        if not 0 < as_tuple(self.sigma)[0] <= as_tuple(self.sigma)[1]:
            refuse(self, "sigma", self.sigma, "numbers above 0, the lower first")
        if any(size % 2 == 0 for size in as_tuple(self.kernel_size)):
            refuse(self, "kernel_size", self.kernel_size, "odd numbers")


# ---------------------------------------------------------------- policies


@operation
class RandAugment:
    """num_ops operations at one magnitude, drawn from fourteen."""

    num_ops: int = 2
    magnitude: int = 9
    num_magnitude_bins: int = 31
    interpolation: Interpolation = "nearest"
    fill: Fill = None

    def __post_init__(self) -> None:
        keep(self, fill=fill_of(self, self.fill))
        check_choice(self, "interpolation", ("nearest", "bilinear"))
        if self.num_ops < 1 or not 0 <= self.magnitude < self.num_magnitude_bins:
            refuse(self, "magnitude", self.magnitude, "below num_magnitude_bins, and num_ops of 1 or more")


@operation
class TrivialAugmentWide:
    """One operation of fourteen at a random magnitude."""

    num_magnitude_bins: int = 31
    interpolation: Interpolation = "nearest"
    fill: Fill = None

    def __post_init__(self) -> None:
        keep(self, fill=fill_of(self, self.fill))
        check_choice(self, "interpolation", ("nearest", "bilinear"))
        if self.num_magnitude_bins < 2:
            refuse(self, "num_magnitude_bins", self.num_magnitude_bins, "2 or more")


# ---------------------------------------------------------------- the result


@operation
class ToDtype:
    """The result's dtype; scale: levels 0 … 255 become 0 … 1."""

    dtype: OutputDtype
    scale: bool = False

    def __post_init__(self) -> None:
        check_choice(self, "dtype", ("uint8", "float32", "float16", "bfloat16"))


@operation
class Normalize:
    """(x / 255 − mean) / std per channel: levels are brought to 0 … 1 first, where ToDtype has not done it."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        keep(self, mean=tuple(map(float, self.mean)), std=tuple(map(float, self.std)))
        finite = all(map(math.isfinite, self.mean + self.std))
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3) or not finite or min(self.std) <= 0:
            refuse(self, "mean and std", (self.mean, self.std), "one or three numbers each, std above 0")


@operation
class RandomErasing:
    """A box of random area and aspect set to a value, with probability p; its unit is that of what it is given."""

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float | tuple[float, ...] = 0.0

    def __post_init__(self) -> None:
        check_probability(self)
        keep(self, scale=pair_of(self, "scale", self.scale, least=0), ratio=pair_of(self, "ratio", self.ratio, least=0))
        keep(self, value=tuple(map(float, as_tuple(self.value))))
        if self.scale[1] > 1 or self.ratio[0] <= 0:
            refuse(self, "scale or ratio", (self.scale, self.ratio), "scale up to 1, ratio above 0")


@operation
class MixUp:
    """Images and labels blended in pairs, share from Beta(alpha, alpha).

    mode  "batch": one share for all, with the sample before, as torchvision does; "elem": a share for each sample, with
          the sample as far from the other end, as timm does
    """

    alpha: float = 1.0
    num_classes: int | None = None
    mode: Literal["batch", "elem"] = "batch"

    def __post_init__(self) -> None:
        check_choice(self, "mode", ("batch", "elem"))
        if not self.alpha > 0:
            refuse(self, "alpha", self.alpha, "a number above 0")


@operation
class CutMix:
    """A box of the partner's image pasted, labels mixed by its area. mode as MixUp's."""

    alpha: float = 1.0
    num_classes: int | None = None
    mode: Literal["batch", "elem"] = "batch"

    def __post_init__(self) -> None:
        check_choice(self, "mode", ("batch", "elem"))
        if not self.alpha > 0:
            refuse(self, "alpha", self.alpha, "a number above 0")


OPERATIONS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(Resize, CenterCrop, RandomResizedCrop, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip),
        *(RandomRotation, RandomAffine, RandomPerspective),
        *(ColorJitter, Grayscale, RandomGrayscale, RandomInvert, RandomPosterize, RandomSolarize),
        *(RandomAutocontrast, RandomEqualize, RandomAdjustSharpness, GaussianBlur, RandAugment, TrivialAugmentWide),
        *(ToDtype, Normalize, RandomErasing, MixUp, CutMix),
    )
}
