"""Models by name. The table is written out by hand; nothing is scanned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, nearest
from rooflight.models.cnn import Cnn
from rooflight.models.lstm import LENGTH, WORDS, Lstm
from rooflight.models.transfer.base import PREFIX, find_base
from rooflight.models.transfer.model import build_transfer
from rooflight.models.transfer.texts import LENGTH as TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model and the input that it takes."""

    build: Callable[[int], nn.Module]  # number of classes → model
    input_shape: tuple[int, ...]  # of one sample: (C, H, W) of an image, (T,) of a text
    classes: int = 10  # of the classic form: a plan and a benchmark count with them
    words: int | None = None  # it takes token ids below this; None: it takes images
    untrained: str = ""  # why `rooflight train` does not take it; empty: it does


MODELS: Mapping[str, Entry] = {
    "cnn": Entry(build=lambda classes: Cnn(classes), input_shape=(1, 28, 28)),
    "lstm": Entry(
        build=lambda classes: Lstm(classes),
        input_shape=(LENGTH,),
        classes=WORDS,
        words=WORDS,
    ),
    "transfer:vgg16": Entry(build=lambda classes: build_transfer("transfer:vgg16", classes), input_shape=(3, 224, 224)),
}


def find_model(name: str, input_shape: tuple[int, ...] | None = None) -> Entry:
    """The entry of that name; raises ConfigError with the nearest ones.

    input_shape  of one sample, for a base of transfer learning that takes several; None: the usual one
    """
    if name.startswith(PREFIX):
        return _transfer(name, input_shape)
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}.{nearest(name, MODELS)}")
    return MODELS[name]


def _transfer(name: str, input_shape: tuple[int, ...] | None) -> Entry:
    pixels = find_base(name).pixels
    if pixels is None:
        return Entry(build=lambda classes: build_transfer(name, classes), input_shape=input_shape or (TOKENS,), words=2)
    shape = input_shape or (3, pixels.crop, pixels.crop)
    return Entry(build=lambda classes: build_transfer(name, classes, size=shape[-1]), input_shape=shape)


def random_input(entry: Entry, batch: int, *, seed: int = 0) -> Tensor:
    """A batch to measure with: normally distributed pixels (N, C, H, W) in float32, or token ids (N, T) in int64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, *entry.input_shape)
    if entry.words is not None:
        return torch.randint(entry.words, shape, generator=generator)
    return torch.randn(shape, generator=generator)
