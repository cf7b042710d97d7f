"""Dataclasses to JSON and back, strictly: an unknown key, a missing one or a wrong type is an error that names it."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, Union, cast

from rooflight.core.errors import ConfigError, nearest

T = TypeVar("T")


def to_json(value: object, *, indent: int | None = 2) -> str:
    """One JSON document. NaN and infinity are refused: unknown is null."""
    return json.dumps(to_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def to_plain(value: object) -> Any:
    """The value in dicts, lists, strings, numbers, booleans and None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _shown(type(value))}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no place in JSON: {value!r}")


@lru_cache(maxsize=256)
def _shown(kind: type) -> tuple[str, ...]:
    """The fields that a document has: not those whose metadata say {"json": False}."""
    return tuple(field.name for field in dataclasses.fields(kind) if field.metadata.get("json", True))


def from_json(kind: type[T], document: str, *, what: str = "the document") -> T:
    """A dataclass from its JSON document; raises ConfigError with the key at fault."""
    try:
        plain = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} is not JSON: {error}.") from None
    return from_plain(kind, plain, what=what)


def read_json(kind: type[T], path: Path) -> T:
    """A dataclass from a JSON file; raises ConfigError if it is damaged, OSError if it cannot be read."""
    try:
        document = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text in UTF-8.") from None
    return from_json(kind, document, what=str(path))


def from_plain(kind: type[T], plain: Any, *, what: str = "the document") -> T:
    """A dataclass from dicts and lists, checked field by field against its annotations."""
    return cast(T, _build(kind, plain, what))


def _build(kind: Any, plain: Any, what: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(cast(type, kind), plain, what)
    if origin in (Union, types.UnionType):
        return _build_union(typing.get_args(kind), plain, what)
    if origin is typing.Literal:
        if plain not in typing.get_args(kind):
            raise ConfigError(f"{what} is {plain!r}.{nearest(str(plain), map(str, typing.get_args(kind)))}")
        return plain
    if origin is tuple:
        return _build_tuple(typing.get_args(kind), plain, what)
    if origin in (dict, Mapping):
        _, item_kind = typing.get_args(kind)
        return {key: _build(item_kind, item, f"{what}.{key}") for key, item in _expect(plain, dict, what).items()}
    if kind in (Any, object):
        return plain
    if kind is float:
        return _number(plain, what)
    if kind is str and any("\ud800" <= letter <= "\udfff" for letter in _expect(plain, str, what)):
        raise ConfigError(f"{what} holds half a letter: {plain!a}.")
    return _expect(plain, kind, what)


def _number(plain: Any, what: str) -> float:
    try:
        number = float(plain) if isinstance(plain, int) and not isinstance(plain, bool) else _expect(plain, float, what)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(f"{what} is no finite number.")
    return float(number)


def _build_dataclass(kind: type, plain: Any, what: str) -> Any:
    kinds, required = _fields(kind)
    values = {}
    for key, item in _expect(plain, dict, what).items():
        if key not in kinds:
            raise ConfigError(f"{what} has no key {key!r}.{nearest(key, kinds)}")
        values[key] = _build(kinds[key], item, f"{what}.{key}")
    for name in required:
        if name not in values:
            raise ConfigError(f"{what} lacks the key {name!r}.")
    return kind(**values)


@lru_cache(maxsize=256)
def _fields(kind: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The type of each field, and the names of those without a default. Kept: a trace holds thousands of one kind."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    required = [field.name for field in fields if field.default is missing and field.default_factory is missing]
    return {field.name: hints[field.name] for field in fields}, tuple(required)


def _build_union(kinds: tuple[Any, ...], plain: Any, what: str) -> Any:
    if plain is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others[:-1]:
        try:
            return _build(kind, plain, what)
        except ConfigError:
            continue  # the last kind's error is the one that is told
    return _build(others[-1], plain, what)


def _build_tuple(kinds: tuple[Any, ...], plain: Any, what: str) -> tuple[Any, ...]:
    items = _expect(plain, list, what)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        if kinds[0] is int and all(type(item) is int for item in items):
            return tuple(items)  # a trace has tens of thousands
        if kinds[0] is float and all(type(item) is float and math.isfinite(item) for item in items):
            return tuple(items)  # a calibration has a hundred thousand
        return tuple(_build(kinds[0], item, f"{what}[{index}]") for index, item in enumerate(items))
    if len(items) != len(kinds):
        raise ConfigError(f"{what} has {len(items)} items, it needs {len(kinds)}.")
    pairs = zip(kinds, items, strict=True)
    return tuple(_build(kind, item, f"{what}[{index}]") for index, (kind, item) in enumerate(pairs))


def _expect(plain: Any, kind: type, what: str) -> Any:
    wrong = not isinstance(plain, kind) or (kind in (int, float) and isinstance(plain, bool))
    if wrong:
        raise ConfigError(f"{what} is {plain!r}; it must be of type {kind.__name__}.")
    return plain
