"""A model by the name that it has on every command: library and model, a file and a function, or a bare name."""

import contextlib
import difflib
import re
from collections.abc import Callable
from typing import Any

from rooflight.core.errors import BackendError, ConfigError, nearest
from rooflight.core.types import Workload
from rooflight.models import of_file, of_keras, of_timm, of_torchvision, of_transformers
from rooflight.models.recipe import Recipe, image_batch, masked_batch, token_batch
from rooflight.models.registry import MODELS, find_model
from rooflight.models.transfer.base import PREFIX

FORMS = "cnn, torchvision:resnet50, timm:convnext_tiny, hf:bert-base-uncased, path/to/file.py:build or path/to/it.keras"


def resolve(name: str, input_shape: tuple[int, ...] | None = None, classes: int | None = None) -> Recipe:
    """How the model of that name is built and fed.

    input_shape  of one sample, (C, H, W) or (T,); None: the model's usual one
    classes      of a classifier of torchvision or timm; None: as it was published
    raises       ConfigError with the nearest names, BackendError where its library is not installed
    """
    if of_user := re.fullmatch(r"(.+\.py):(\w+)", name):
        return of_file.recipe(of_user[1], of_user[2], input_shape)
    if name.endswith(".keras"):
        return of_keras.recipe(name, input_shape)
    if name.endswith(".py"):
        raise ConfigError(f"{name} is a file: which of its functions builds the model? Try {name}:build.")
    if name in MODELS or name.startswith(PREFIX):
        return _own(name, input_shape)
    library, colon, model = name.partition(":")
    if not colon:
        library, model = _library(name), name
    match library:
        case "torchvision":
            of_torchvision.check(model)
            return of_torchvision.recipe(_known(model, of_torchvision.names(), library), input_shape, classes)
        case "timm":
            _known(model.partition(".")[0], of_timm.names(), library)
            return of_timm.recipe(model, input_shape, classes)
        case "hf":
            return of_transformers.recipe(model, input_shape)
    raise ConfigError(f"there is no library {library!r} of models.{nearest(library, ('torchvision', 'timm', 'hf'))}")


def _own(name: str, input_shape: tuple[int, ...] | None) -> Recipe:
    entry = find_model(name, input_shape)
    make_input: Callable[[Workload], Any] = image_batch if entry.words is None else token_batch
    return Recipe(
        name=name,
        build=lambda: entry.build(entry.classes),
        input_shape=input_shape or entry.input_shape,
        make_input=masked_batch if name.startswith(f"{PREFIX}hf:") else make_input,
    )


def _known(model: str, names: list[str], library: str) -> str:
    if model in names:
        return model
    close = difflib.get_close_matches(model, names, n=3, cutoff=0.5)
    hint = "Did you mean " + " or ".join(close) + "?" if close else f"It has {len(names)} others."
    raise ConfigError(f"{library} has no model {model!r}. {hint}")


def _library(name: str) -> str:
    """Where a bare name is found; the tables come first, because they import nothing."""
    if name.partition("#")[0].lower() in of_transformers.names():
        return "hf"
    if name in of_torchvision.names():
        return "torchvision"
    known = [*MODELS, *of_transformers.names(), *of_torchvision.names()]
    with contextlib.suppress(BackendError):  # without timm its models are not among those searched
        known += of_timm.names()
    known = list(dict.fromkeys(known))  # torchvision and timm share names
    if name.partition(".")[0] in known:
        return "timm"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = " Did you mean " + " or ".join(close) + "?" if close else ""
    raise ConfigError(f"there is no model {name!r}.{hint} A model is named like {FORMS}.")
