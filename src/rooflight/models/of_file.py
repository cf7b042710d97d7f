"""The user's own model: a function in a Python file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from torch import nn

from rooflight.core.errors import ConfigError, nearest
from rooflight.models.recipe import Recipe, image_batch, token_batch


def recipe(path: str, function: str, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """The model that a function without arguments builds.

    input_shape  of one sample; without it the file must say it: INPUT_SHAPE = (3, 224, 224), or (T,) for token ids
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {path}. Try the path to the Python file that builds the model.")
    spec = importlib.util.spec_from_file_location(f"rooflight_model_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {reason}. Try python {path}.") from error
    build = getattr(module, function, None)
    if not callable(build):
        raise ConfigError(f"{path} has no function {function!r}.{nearest(function, _functions(vars(module)))}")
    shape = input_shape or getattr(module, "INPUT_SHAPE", None)
    if shape is None:
        raise ConfigError(
            f"{path} does not say what one sample looks like. Try a line INPUT_SHAPE = (3, 224, 224) in it."
        )
    return Recipe(
        name=f"{path}:{function}",
        build=lambda: _module(_built(build, path, function), path, function),
        input_shape=tuple(shape),
        make_input=token_batch if len(shape) == 1 else image_batch,
    )


def _functions(scope: dict[str, object]) -> list[str]:
    return [name for name, value in scope.items() if callable(value) and not name.startswith("_")]


def _built(build: Callable[[], object], path: str, function: str) -> object:
    try:
        return build()
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the call itself, not what it does
            raise ConfigError(
                f"{path}:{function} is called without arguments, and it wants some: {error}. Try a function around it."
            ) from error
        raise


def _module(built: object, path: str, function: str) -> nn.Module:
    if not isinstance(built, nn.Module):
        raise ConfigError(f"{path}:{function} made {type(built).__name__}, it should make a torch.nn.Module.")
    return built
