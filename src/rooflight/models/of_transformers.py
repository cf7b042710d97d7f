"""Models of transformers by name, built from a configuration: nothing is downloaded."""

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import BackendError, ConfigError, nearest
from rooflight.core.types import Workload
from rooflight.models.configuration import Configuration
from rooflight.models.configurations import CONFIGURATIONS
from rooflight.models.recipe import Recipe, image_batch, micro_batch, token_batch

TOKENS = 512  # the length of a text, where the model takes so many and none was asked for

POSITIONS = ("wpe", "position_embedding", "position_embeddings", "embed_positions")  # what learned tables are called


def library() -> Any:
    """transformers itself. raises BackendError where it is not installed"""
    try:
        import transformers
    except ImportError:
        raise BackendError(
            "models of transformers need the package transformers. Try: pip install 'rooflight[transformers]' "
            "(from a checkout: '.[transformers]')."
        ) from None
    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # its advice is on weights
    return transformers


def names() -> dict[str, str]:
    """Every way to write a known model, in small letters → its name: without its owner, or without the "-hf"."""
    found: dict[str, str] = {}
    for name in CONFIGURATIONS:
        for written in (name, name.rpartition("/")[2]):
            for short in (written, written.removesuffix("-hf")):
                found.setdefault(short.lower(), name)
    return found


def recipe(name: str, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """A known model, or the one that a config.json describes.

    name  "bert-base-uncased", "meta-llama/Llama-2-7b-hf", a path to a config.json or to its folder; "#" and a class of
          transformers after it ask for another head: "bert-base-uncased#BertForSequenceClassification"
    """
    given, _, architecture = name.partition("#")
    known = _configuration(given)
    return of_configuration(name, replace(known, architecture=architecture or known.architecture), input_shape)


def of_configuration(name: str, known: Configuration, input_shape: tuple[int, ...] | None = None) -> Recipe:
    """The model that a configuration describes; the name is for people."""
    transformers = library()
    kind = getattr(transformers, known.architecture, None)
    if kind is None:
        raise ConfigError(f"transformers {transformers.__version__} has no class {known.architecture!r}.")
    try:
        config = transformers.AutoConfig.for_model(known.kind, **known.fields)
    except ValueError as error:
        raise ConfigError(f"transformers {transformers.__version__} cannot read {name}: {error}.") from None
    shape = input_shape or _input_shape(config, kind)

    def build() -> nn.Module:
        model: nn.Module = kind(config)
        _refuse_too_long(model, name, shape)
        return model

    return Recipe(
        name=f"hf:{name}",
        build=build,
        input_shape=shape,
        note=_beyond(config, name, shape),
        make_input=partial(_make_input, config, kind),
        loss=_loss,
        make_target=lambda output: None,
    )


def _configuration(given: str) -> Configuration:
    path = Path(given)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix == ".json":
        return _read(path)
    known = names()
    if given.lower() not in known:
        raise ConfigError(
            f"there is no configuration of {given!r} here.{nearest(given.lower(), known)} Any other model works by the "
            "path to its config.json: hf:path/to/config.json."
        )
    return CONFIGURATIONS[known[given.lower()]]


def _read(path: Path) -> Configuration:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Configuration(kind=fields.pop("model_type"), architecture=fields.pop("architectures")[0], fields=fields)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ConfigError(f"{path} is no config.json of transformers: it needs model_type and architectures.") from None


# ---------------------------------------------------------------- what it is fed with


def _input_shape(config: Any, kind: Any) -> tuple[int, ...]:
    if kind.main_input_name == "pixel_values" or hasattr(config, "vision_config"):
        size = getattr(config, "vision_config", config).image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        return (3, height, width)
    if kind.main_input_name == "input_values":
        return (16_000 * 10,)  # ten seconds of sound
    limits = (getattr(config, name, None) for name in ("max_target_positions", "max_position_embeddings"))
    return (min([TOKENS, *(limit for limit in limits if isinstance(limit, int))]),)


def _refuse_too_long(model: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    """A learned table of positions has no row for a later one: no such step could run."""
    if len(shape) != 1 or getattr(model, "main_input_name", "") == "input_values":
        return
    tables = (part for path, part in model.named_modules() if path.rpartition(".")[2] in POSITIONS)
    rows = [table.num_embeddings - _first_row(table) for table in tables if isinstance(table, nn.Embedding)]
    if rows and shape[0] > min(rows):
        raise ConfigError(
            f"{name} learnt {min(rows):,} positions, and {shape[0]:,} tokens were asked for. Try --seq-len {min(rows)}."
        )


def _first_row(table: nn.Embedding) -> int:
    """Where position 0 lies: OPT and BART leave rows before it, RoBERTa those up to its padding."""
    offset: int | None = getattr(table, "offset", None)
    if offset is not None:
        return offset
    return 0 if table.padding_idx is None else table.padding_idx + 1


def _beyond(config: Any, name: str, shape: tuple[int, ...]) -> str | None:
    """Rotated positions go on for ever, but the model was not trained with so many."""
    limit = getattr(config, "max_position_embeddings", None)
    if len(shape) != 1 or not isinstance(limit, int) or shape[0] <= limit:
        return None
    return f"{shape[0]:,} tokens are more than the {limit:,} that the configuration of {name} is for"


def _make_input(config: Any, kind: Any, workload: Workload) -> dict[str, Any]:
    """Named inputs of one batch, with labels for training."""
    training, n = workload.task == "train", micro_batch(workload)
    labels = partial(torch.zeros, n, dtype=torch.int64)
    match kind.main_input_name:
        case "pixel_values":
            return {"pixel_values": image_batch(workload)} | ({"labels": labels()} if training else {})
        case "input_values":
            sound = torch.empty(n, *workload.input_shape, dtype=getattr(torch, workload.parameter_dtype))
            return {"input_values": sound} | ({"labels": labels()} if training else {})
        case "input_features":
            frames = 2 * config.max_source_positions
            sound = torch.empty(n, config.num_mel_bins, frames, dtype=getattr(torch, workload.parameter_dtype))
            return {"input_features": sound, "labels" if training else "decoder_input_ids": token_batch(workload)}
    if hasattr(config, "vision_config"):
        words = torch.zeros(n, config.text_config.max_position_embeddings, dtype=torch.int64)
        return {"input_ids": words, "pixel_values": image_batch(workload), "return_loss": training}
    return _text(config, kind, workload, labels)


def _text(config: Any, kind: Any, workload: Workload, labels: Callable[[], Tensor]) -> dict[str, Any]:
    words: dict[str, Any] = {"input_ids": token_batch(workload)}
    of_sequences = "SequenceClassification" in kind.__name__ or "MultipleChoice" in kind.__name__
    if workload.task == "train":
        words["labels"] = labels() if of_sequences else token_batch(workload)
        if workload.checkpointing and kind.can_generate() and not config.is_encoder_decoder:
            # Without a cache transformers asks whether several texts share a row, which the values of tensors tell.
            words["past_key_values"] = library().DynamicCache(config=config)
    elif config.is_encoder_decoder:
        words["decoder_input_ids"] = token_batch(workload)
    if workload.generation == "prefill" and "logits_to_keep" in inspect.signature(kind.forward).parameters:
        words["logits_to_keep"] = 1  # the scores of the last token alone, as generation asks for
    return words


def _loss(output: Any, target: None) -> Tensor:
    """The model's own, which it makes of its labels."""
    if getattr(output, "loss", None) is None:
        raise ConfigError(
            "this class of transformers has no loss to train with. Try one with a head: name#ClassWithHead."
        )
    loss: Tensor = output.loss
    return loss
