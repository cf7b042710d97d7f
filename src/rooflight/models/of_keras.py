"""The user's own Keras model: a .keras file, run by Keras on PyTorch."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import BackendError, ConfigError
from rooflight.models.recipe import Recipe, image_batch, token_batch


def recipe(path: str, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """The model that Keras saved, on whatever backend, with the input that it was saved with.

    input_shape  of one sample, (C, H, W) or (T,), to fill in what the file leaves open; the recipe's own is as Keras
                 has it, (H, W, C)
    raises       ConfigError if there is no such file or it is no model of one input, BackendError without Keras 3 or
                 with Keras on another backend
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {path}. Try the path to a model that Keras saved.")
    model = _load(file)
    if isinstance(model.input_shape, list | dict):
        raise ConfigError(f"{path} takes several inputs; a model of one is planned. Try a file.py:build that wraps it.")
    shape = _filled(tuple(model.input_shape[1:]), input_shape, path)
    return Recipe(
        name=path,
        build=lambda: OfKeras(model),
        input_shape=shape,
        make_input=token_batch if _reads_tokens(model) else image_batch,
    )


class OfKeras(nn.Module):
    """A Keras model that train() and eval() tell what its layers are told by `training`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Tensor) -> Tensor:
        """
        batch    as the Keras model takes it: (N, H, W, C) images, (N, T) tokens
        returns  what it gives, probabilities or scores
        """
        found: Tensor = self.model(batch, training=self.training)
        return found


def _filled(shape: tuple[int | None, ...], asked: tuple[int, ...] | None, path: str) -> tuple[int, ...]:
    """The shape of one sample with its open dimensions as asked for."""
    wanted = asked if asked is None or len(asked) < 3 else (*asked[1:], shape[-1] or asked[0])
    if wanted is not None:
        fits = len(wanted) == len(shape) and all(own in (None, size) for own, size in zip(shape, wanted, strict=True))
        if not fits:
            raise ConfigError(f"{path} was saved for samples of {shape}, asked were {wanted}. Try it as it was saved.")
        return wanted
    known = tuple(size for size in shape if size is not None)
    if len(known) < len(shape):
        raise ConfigError(f"{path} leaves the size of a sample open: {shape}. Try --seq-len or --image-size.")
    return known


def _load(file: Path) -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # where TensorFlow is installed, Keras loads it, and it talks
    try:
        import keras
    except ImportError:
        raise BackendError(
            "models of Keras need the package keras. Try: pip install 'rooflight[keras]' (from a checkout: '.[keras]')."
        ) from None
    if keras.backend.backend() != "torch":
        raise BackendError(
            f"Keras runs on {keras.backend.backend()} here; Rooflight runs its models on PyTorch. "
            "Try KERAS_BACKEND=torch in the environment."
        )
    try:
        with torch.device("cpu"):
            return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ConfigError(
            f"Keras does not read {file}: {reason}. Try saving it again: model.save('NAME.keras')."
        ) from None


def _reads_tokens(model: Any) -> bool:
    """Does the first layer that does anything look words up?"""
    layers = sys.modules["keras"].layers
    first = next((layer for layer in model.layers if not isinstance(layer, layers.InputLayer)), None)
    return isinstance(first, layers.Embedding)
