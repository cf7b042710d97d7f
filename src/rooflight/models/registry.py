"""Models by name. The table is written out by hand; nothing is scanned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn

from rooflight.core.errors import ConfigError, nearest
from rooflight.models.cnn import Cnn


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model and the input that it takes."""

    build: Callable[[int], nn.Module]  # number of classes → model
    input_shape: tuple[int, int, int]  # (C, H, W) of one sample


MODELS: Mapping[str, Entry] = {
    "cnn": Entry(build=lambda classes: Cnn(classes), input_shape=(1, 28, 28)),
}


def find_model(name: str) -> Entry:
    """The entry of that name; raises ConfigError with the nearest ones."""
    if name not in MODELS:
        raise ConfigError(f"there is no model {name!r}.{nearest(name, MODELS)}")
    return MODELS[name]
