"""The user's own model: a function in a Python file."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from rooflight.core.errors import ConfigError, RooflightError, nearest
from rooflight.models.of_keras import choose_torch
from rooflight.models.recipe import Recipe, image_batch, token_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFile:
    """What a user's file says of its model. Only `make` is a must."""

    name: str  # path:function
    make: Callable[..., object]
    input_shape: tuple[int, ...] | None  # INPUT_SHAPE, of one sample
    input_dtype: Literal["float32", "int64"] | None  # INPUT_DTYPE
    mean: tuple[float, ...] | None  # MEAN and STD of pixels in 0..1, per channel
    std: tuple[float, ...] | None
    loss: Callable[[Any, Any], Tensor] | None  # LOSS(outputs, targets)


def read(path: str, function: str, *, beside: Path | None = None) -> UserFile:
    """Run a user's file, as `python path` would, and take what it says.

    beside  another folder whose modules the file may import: a copy of it stands elsewhere
    raises  ConfigError if there is no such file or function, or the file cannot be run
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"there is no file {path}. Try the path to the Python file that builds the model.")
    spec = importlib.util.spec_from_file_location(f"rooflight_model_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    for folder in (beside, file.parent):
        if folder is not None and str(folder.resolve()) not in sys.path:
            sys.path.append(str(folder.resolve()))  # for what it imports now, and while it builds
    choose_torch()  # before the file imports Keras
    try:
        with redirect_stdout(sys.stderr):  # stdout is for the answer
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        raise ConfigError(f"{path} cannot be run: {type(error).__name__}: {reason}. Try python {path}.") from error
    make = getattr(module, function, None)
    if not callable(make):
        raise ConfigError(f"{path} has no function {function!r}.{nearest(function, _functions(vars(module)))}")
    said = vars(module)
    dtype = said.get("INPUT_DTYPE")
    if dtype not in (None, "float32", "int64"):
        raise ConfigError(f"{path}: INPUT_DTYPE is {dtype!r}. Try 'float32' for numbers, 'int64' for token ids.")
    loss = said.get("LOSS")
    if loss is not None and not callable(loss):
        raise ConfigError(f"{path}: LOSS is {type(loss).__name__}. Try a function of (outputs, targets).")
    return UserFile(
        name=f"{path}:{function}",
        make=make,
        input_shape=tuple(said["INPUT_SHAPE"]) if "INPUT_SHAPE" in said else None,
        input_dtype=dtype,
        mean=_floats(said, "MEAN", path),
        std=_floats(said, "STD", path),
        loss=loss,
    )


def recipe(path: str, function: str, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """The model that a function without arguments builds.

    input_shape  of one sample; without it the file must say it: INPUT_SHAPE = (3, 224, 224), or (T,) for token ids
    """
    user = read(path, function)
    shape = input_shape or user.input_shape
    if shape is None:
        raise ConfigError(
            f"{path} does not say what one sample looks like. Try a line INPUT_SHAPE = (3, 224, 224) in it."
        )
    dtype = user.input_dtype or ("int64" if len(shape) == 1 else "float32")
    return Recipe(
        name=user.name,
        build=lambda: built(user),
        input_shape=shape,
        make_input=token_batch if dtype == "int64" else image_batch,
    )


def built(user: UserFile, classes: int | None = None) -> Any:
    """The model that the function makes, with `classes` if it takes them: a torch or a Keras module.

    raises  ConfigError if it makes none, wants other arguments, or ends the process
    """
    arguments = {"classes": classes} if classes is not None and _takes_classes(user.make) else {}
    try:
        with redirect_stdout(sys.stderr):
            model = user.make(**arguments)
    except SystemExit:
        raise ConfigError(f"{user.name} ends the process. Try a function that only builds the model.") from None
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the call itself, not what it does
            raise ConfigError(
                f"{user.name} is called without arguments, and it wants some: {error}. Try a function around it."
            ) from error
        raise _raised(user, error) from error
    except RooflightError:
        raise
    except Exception as error:  # it is the user's code, which raises what it likes
        raise _raised(user, error) from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"{user.name} made {type(model).__name__}, it should make a torch.nn.Module.")
    return model


def _raised(user: UserFile, error: Exception) -> ConfigError:
    """What was raised, and on which line of the user's file or beyond."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    reason = " ".join(str(error).split())[:200] or "no message"
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return ConfigError(f"{user.name} raises {type(error).__name__}: {reason} ({where}). Try it in python alone.")


def _functions(scope: dict[str, object]) -> list[str]:
    return [name for name, value in scope.items() if callable(value) and not name.startswith("_")]


def _takes_classes(make: Callable[..., object]) -> bool:
    try:
        return "classes" in inspect.signature(make).parameters
    except ValueError:  # some that are written in C have no signature
        return False


def _floats(said: dict[str, Any], name: str, path: str) -> tuple[float, ...] | None:
    if name not in said:
        return None
    try:
        return tuple(float(value) for value in said[name])
    except (TypeError, ValueError):
        raise ConfigError(
            f"{path}: {name} is {said[name]!r}. Try a number for each channel: {name} = (0.5,)."
        ) from None
