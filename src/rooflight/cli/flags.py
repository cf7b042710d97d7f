"""Flags made from the fields of a configuration: each setting is declared once, in its dataclass."""

import dataclasses
import inspect
import json
import math
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from cyclopts import Group, Parameter

from rooflight.core.codec import from_plain, to_plain
from rooflight.core.errors import ConfigError


def with_fields(
    config: type, *, positional: str, topics: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command one flag for each field of `config`, before its own flags.

    The command takes `given`, a dict of the settings that were named on the command line, and its own keyword-only
    flags. `positional` is the field that may also stand without its flag.

    topics  headings of --help, and the fields under each
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        hints = typing.get_type_hints(config)
        names = [field.name for field in dataclasses.fields(config)]
        own = [value for key, value in inspect.signature(command).parameters.items() if key != "given"]
        groups = {name: group for group, names in _groups(topics) for name in names}
        fields = [
            _parameter(field, hints[field.name], positional, groups.get(field.name))
            for field in dataclasses.fields(config)
        ]

        def run(*arguments: Any, **flags: Any) -> Any:
            if arguments:
                flags[positional] = arguments[0]
            given = {name: flags.pop(name) for name in names if name in flags}
            return command(given, **flags)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature([*fields, *own])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*fields, *own)}
        return run

    return decorate


def resolve(config: type, given: dict[str, Any], file: Path | None) -> Any:
    """Defaults, then the file's keys, then the flags. Raises ConfigError for an unknown key, naming the nearest."""
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name.replace('_', '-')} {value:g}: it must be a finite number.")
    settings = _read(file) if file else {}
    what = str(file) if file else "the configuration"
    return from_plain(config, {**settings, **to_plain(given)}, what=what)


def _groups(topics: Mapping[str, Sequence[str]]) -> list[tuple[Group, Sequence[str]]]:
    """Headings in the order in which they are given."""
    return [(Group.create_ordered(topic), names) for topic, names in topics.items()]


def _parameter(field: dataclasses.Field[Any], hint: Any, positional: str, group: Group | None) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if field.name == positional else inspect.Parameter.KEYWORD_ONLY
    # A default of nothing is told in words; a switch that is off by default needs no flag that turns it off.
    plain = field.default not in ((), None)
    negative: tuple[str, ...] | None = () if field.default is False else None
    shown = Parameter(help=field.metadata["help"], negative=negative, negative_iterable=(), show_default=plain)
    annotation = Annotated[hint, shown] if group is None else Annotated[hint, shown, Parameter(group=group)]
    return inspect.Parameter(field.name, kind, default=field.default, annotation=annotation)


def _read(file: Path) -> dict[str, Any]:
    """A JSON or TOML file."""
    if not file.is_file():
        raise ConfigError(f"--config {file}: no such file.")
    try:
        content = file.read_bytes().decode("utf-8-sig")
        settings = tomllib.loads(content) if file.suffix == ".toml" else json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"--config {file} cannot be read: {error}.") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"--config {file} must hold an object of settings.")
    return settings
