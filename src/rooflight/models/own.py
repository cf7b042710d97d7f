"""A user's own model, ready to be trained: from a Python file, from Keras, or by a library's name, from scratch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.models import of_file, of_keras
from rooflight.models.resolve import resolve

Dtype = Literal["float32", "int64"]
PIXELS_0_TO_1 = ((0.0,), (1.0,))  # mean and std of what Keras's programs do: x / 255
PIXELS_0_TO_255 = ((0.0,), (1 / 255,))  # of a model that rescales in its first layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A model by name, with what is known of its input."""

    name: str
    make: Callable[[int | None, bool], tuple[nn.Module, str]]  # classes, does it get images (N, C, H, W) → it, a note
    input_shape: tuple[int, ...] | None  # of one sample, as the model itself takes it; None: as the data has it
    input_dtype: Dtype
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # mean and std; None: measured
    loss: Callable[[Any, Any], Tensor] | None = None
    file: Path | None = None
    keras: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(C, H, W) of a model that takes images; None for another, or where nobody says."""
        shape = self.input_shape
        if shape is None or len(shape) != 3 or self.input_dtype != "float32":
            return None
        if self.keras:
            shape = (shape[2], shape[0], shape[1])
        return (shape[0], shape[1], shape[2]) if shape[0] in (1, 3) else None


def is_own(name: str) -> bool:
    """Is it a file's model, or one of a library that is trained from scratch?"""
    return ".py:" in name or name.endswith((".py", ".keras")) or name.partition(":")[0] in ("torchvision", "timm")


def find_own(name: str, *, image_size: int | None = None, beside: Path | None = None) -> Own:
    """The model of that name.

    image_size  height and width, for a model that takes several
    beside      the folder that a copied file came from: its modules may be imported
    raises      ConfigError, BackendError as the model's own kind has them
    """
    size = (3, image_size, image_size) if image_size else None
    if name.endswith(".keras"):
        return _of_keras(name, lambda: of_keras.load(name), size, Path(name))
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        return _of_file(of_file.read(path, function, beside=beside), size, Path(path))
    recipe = resolve(name, size)  # a wrong name is said with the nearest ones
    return Own(
        name=name,
        make=lambda classes, images: (resolve(name, size, classes).build(), "weights drawn, nothing is downloaded"),
        input_shape=recipe.input_shape,
        input_dtype="float32",
    )


def find_keras(name: str, *, images: bool, beside: Path | None = None) -> tuple[Any, nn.Module, Callable[[], None]]:
    """The Keras model of that name, the network that is trained in its place, and what writes the weights back.

    raises  ConfigError if it is none of Keras
    """
    path, _, function = name.rpartition(":")
    model = (
        of_keras.load(name) if name.endswith(".keras") else of_file.built(of_file.read(path, function, beside=beside))
    )
    if not of_keras.is_keras(model):
        raise ConfigError(f"{name} is not a model of Keras. Try --to onnx.")
    network, write_back, _ = of_keras.network(model, images=images)
    return model, network, write_back


def of_module(model: nn.Module, name: str) -> Own:
    """A model that was handed over: trained where it is, its class count as it has it."""
    if of_keras.is_keras(model):
        return _of_keras(name, lambda: model, None, None)
    return Own(name=name, make=lambda classes, images: (model, ""), input_shape=None, input_dtype="float32")


def _of_file(user: of_file.UserFile, size: tuple[int, ...] | None, file: Path) -> Own:
    pixels = None
    if user.mean is not None and user.std is not None:
        pixels = (user.mean, user.std)
    elif user.mean is not None or user.std is not None:
        raise ConfigError(f"{file} has one of MEAN and STD, and needs both or none.")
    shape = user.input_shape
    if size is not None:
        shape = size if shape is None or len(shape) != 3 else (shape[0], *size[1:])
    if shape is None:
        model = of_file.built(user)  # a Keras model says itself what it takes
        if not of_keras.is_keras(model):
            return _module(user, None, pixels, file)
        return _of_keras(user.name, lambda: _seeded(user, None), None, file, pixels=pixels, loss=user.loss)
    return _module(user, shape, pixels, file)


def _module(user: of_file.UserFile, shape: tuple[int, ...] | None, pixels: Any, file: Path) -> Own:
    def make(classes: int | None, images: bool) -> tuple[nn.Module, str]:
        model = _seeded(user, classes)
        if not of_keras.is_keras(model):
            return model, ""
        network, _, note = of_keras.network(model, images=images)
        return network, note

    usual: Dtype = "int64" if shape is not None and len(shape) == 1 else "float32"
    return Own(
        name=user.name,
        make=make,
        input_shape=shape,
        input_dtype=user.input_dtype or usual,
        pixels=pixels,
        loss=user.loss,
        file=file,
    )


def _seeded(user: of_file.UserFile, classes: int | None) -> Any:
    """The model with first weights that follow from torch's seed, Keras's too."""
    of_keras.set_seed(torch.initial_seed())
    return of_file.built(user, classes)


def _of_keras(
    name: str,
    load: Callable[[], Any],
    size: tuple[int, ...] | None,
    file: Path | None,
    *,
    pixels: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
) -> Own:
    model = load()
    shape = of_keras.sample_shape(model, size, name)
    usual = PIXELS_0_TO_255 if of_keras.rescales(model) else PIXELS_0_TO_1

    def make(classes: int | None, images: bool) -> tuple[nn.Module, str]:
        network, _, note = of_keras.network(load(), images=images)
        return network, note

    return Own(
        name=name,
        make=make,
        input_shape=shape,
        input_dtype="int64" if of_keras.reads_tokens(model) else "float32",
        pixels=pixels or usual,
        loss=loss,
        file=file,
        keras=True,
    )
