"""The user's own Keras model: a .keras file or a builder's, run by Keras on PyTorch, or translated into its layers."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import BackendError, ConfigError
from rooflight.models.keras_layers import UntranslatedError, last_activation, translate
from rooflight.models.recipe import Recipe, image_batch, token_batch

OPEN_SIZE = 4  # of what a model leaves open, where any will do
TOLERANCE = 1e-4  # of the largest output: products of the same numbers in another order


def recipe(path: str, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """The model that Keras saved, on whatever backend, with the input that it was saved with.

    input_shape  of one sample, (C, H, W) or (T,), to fill in what the file leaves open; the recipe's own is as Keras
                 has it, (H, W, C)
    raises       ConfigError if there is no such file or it is no model of one input, BackendError without Keras 3 or
                 with Keras on another backend
    """
    model = load(path)
    return Recipe(
        name=path,
        build=lambda: OfKeras(model),
        input_shape=sample_shape(model, input_shape, path),
        make_input=token_batch if reads_tokens(model) else image_batch,
    )


def load(path: str) -> Any:
    """The Keras model of a file.

    raises  ConfigError if there is none or Keras does not read it, BackendError without Keras 3 on PyTorch
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {path}. Try the path to a model that Keras saved.")
    return _load(file)


def choose_torch() -> None:
    """Keras, once it is imported, shall run on PyTorch, unless the environment says otherwise."""
    os.environ.setdefault("KERAS_BACKEND", "torch")  # else it is TensorFlow
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # where TensorFlow is installed, Keras loads it, and it talks


def is_keras(model: object) -> bool:
    """Is it a Keras model? Where Keras was not imported, nothing is."""
    found = sys.modules.get("keras")
    return found is not None and isinstance(model, found.Model)


def sample_shape(model: Any, asked: tuple[int, ...] | None, name: str) -> tuple[int, ...]:
    """What one sample looks like to the model, with what it leaves open as asked for."""
    try:
        shape = model.input_shape
    except (AttributeError, ValueError):
        raise ConfigError(f"{name} does not say what it takes. Try keras.Input(…) as its first layer.") from None
    if isinstance(shape, list | dict):
        raise ConfigError(f"{name} takes several inputs; a model of one is planned. Try a file.py:build that wraps it.")
    return _filled(tuple(shape[1:]), asked, name)


def rescales(model: Any) -> bool:
    """Does it turn pixels of 0 … 255 into small numbers itself?"""
    first = next((layer for layer in model.layers if type(layer).__name__ != "InputLayer"), None)
    return type(first).__name__ in ("Rescaling", "Normalization")


def set_seed(seed: int) -> None:
    """What Keras's initial weights are drawn from, where Keras is in use."""
    if found := sys.modules.get("keras"):
        found.utils.set_random_seed(seed % 2**32)


def network(model: Any, *, images: bool) -> tuple[nn.Module, Callable[[], None], str]:
    """The Keras model as training takes it: it gives scores, and its state dict has names that stay.

    images   batches come as (N, C, H, W), as Rooflight's images do; else as the Keras model takes them
    returns  the module, whose weights are a copy; the function that writes them back into the Keras model; what it is
    raises   BackendError with Keras on another backend
    """
    _need_torch()
    try:
        chain, write_back = translate(model, channels_last_input=not images)
    except UntranslatedError as reason:
        slow = Stateless(model, channels_last_input=not images)
        return slow, slow.write_back, f"Keras runs the model's layers, more slowly than PyTorch's own would: {reason}"
    difference = outputs_differ(model, chain, images)
    if not difference <= TOLERANCE:
        raise BackendError(
            f"the Keras model in PyTorch's layers gives other outputs than Keras does, by {difference:.1e}. "
            "Please report it, with the model's summary."
        )
    return chain, write_back, "the model's layers are PyTorch's own, with the same outputs as Keras gives"


def save(model: Any, file: Path) -> None:
    """Write the .keras file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # Keras 3.15's own __array__, which NumPy 2 calls outdated
        model.save(file)


class Stateless(nn.Module):
    """A Keras model whose variables are parameters and buffers of PyTorch under names that stay.

    Keras numbers layers by process ("dense_7") and lists each variable twice; here a variable's place is its name.
    """

    def __init__(self, model: Any, *, channels_last_input: bool) -> None:
        super().__init__()
        self.structure = (model,)  # in a tuple, it is no submodule
        self.channels_last_input = channels_last_input
        self.names = {
            "trained": [f"{place:03d}_{one.name}" for place, one in enumerate(model.trainable_variables)],
            "fixed": [f"{place:03d}_{one.name}" for place, one in enumerate(model.non_trainable_variables)],
        }
        for name, variable in zip(self.names["trained"], model.trainable_variables, strict=True):
            self.register_parameter(name, nn.Parameter(variable.value.detach().clone()))
        for name, variable in zip(self.names["fixed"], model.non_trainable_variables, strict=True):
            self.register_buffer(f"fixed_{name}", variable.value.detach().clone())

    def forward(self, batch: Tensor) -> Tensor:
        """As KerasChain's; what the model gives is left as it is."""
        if batch.dim() == 4 and not self.channels_last_input:
            batch = batch.permute(0, 2, 3, 1)
        trained = [getattr(self, name) for name in self.names["trained"]]
        fixed = [getattr(self, f"fixed_{name}") for name in self.names["fixed"]]
        with sys.modules["keras"].device(batch.device.type):
            output, changed = self.structure[0].stateless_call(trained, fixed, batch, training=self.training)
        if self.training:
            with torch.no_grad():
                for own, value in zip(fixed, changed, strict=True):
                    own.copy_(value)
        found: Tensor = output
        return found

    @torch.no_grad()
    def write_back(self) -> None:
        """Put the weights into the Keras model."""
        for name, variable in zip(self.names["trained"], self.structure[0].trainable_variables, strict=True):
            variable.assign(getattr(self, name).detach().cpu())
        for name, variable in zip(self.names["fixed"], self.structure[0].non_trainable_variables, strict=True):
            variable.assign(getattr(self, f"fixed_{name}").cpu())


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


@torch.no_grad()
def outputs_differ(model: Any, network: nn.Module, images: bool) -> float:
    """The largest difference between what Keras and the network give for two random samples, of the largest output."""
    shape = [size or OPEN_SIZE for size in model.input_shape[1:]]
    tokens = reads_tokens(model)
    batch = torch.zeros((2, *shape), dtype=torch.int64) if tokens else torch.rand((2, *shape), generator=_generator())
    expected = model(batch, training=False).detach().cpu().float()
    was = network.training
    found = network.eval()(batch.permute(0, 3, 1, 2) if images and batch.dim() == 4 else batch).float()
    network.train(was)
    if not isinstance(network, Stateless):
        match last_activation(model):
            case "softmax":
                found = found.softmax(-1)
            case "sigmoid":
                found = found.sigmoid()
    return float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _need_torch() -> None:
    found = sys.modules["keras"].backend.backend()
    if found != "torch":
        raise BackendError(
            f"Keras runs on {found} here; Rooflight runs its models on PyTorch. "
            "Try KERAS_BACKEND=torch in the environment."
        )


def _load(file: Path) -> Any:
    choose_torch()
    try:
        import keras
    except ImportError:
        raise BackendError(
            "models of Keras need the package keras. Try: pip install 'rooflight[keras]' (from a checkout: '.[keras]')."
        ) from None
    _need_torch()
    try:
        with torch.device("cpu"):
            return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise ConfigError(
            f"Keras does not read {file}: {reason}. Try saving it again: model.save('NAME.keras')."
        ) from None


def reads_tokens(model: Any) -> bool:
    """Does the first layer that does anything look words up?"""
    layers = sys.modules["keras"].layers
    first = next((layer for layer in model.layers if not isinstance(layer, layers.InputLayer)), None)
    return isinstance(first, layers.Embedding)
