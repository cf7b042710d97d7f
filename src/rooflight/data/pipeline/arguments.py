"""Arguments of operations: misspelt ones refused, values checked and brought to one form."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, dataclass_transform

from rooflight.core.errors import ConfigError, nearest

Size = int | tuple[int, ...]
Range = float | tuple[float, ...]
Fill = float | tuple[float, ...] | None
T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def operation(kind: type[T]) -> type[T]:
    """A frozen dataclass whose constructor answers a misspelt argument with the nearest name."""
    made = dataclass(frozen=True)(kind)
    known = [field.name for field in fields(made)]  # type: ignore[arg-type]
    plain: Any = made.__init__

    @functools.wraps(plain)
    def construct(self: T, *values: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise ConfigError(f"{made.__name__} has no argument {name!r}.{nearest(name, known)}")
        try:
            plain(self, *values, **named)
        except (TypeError, ValueError) as error:
            message = str(error).replace(f"{made.__name__}.__init__() ", "")
            raise ConfigError(f"{made.__name__}: {message}. Its arguments: {', '.join(known)}.") from None

    made.__init__ = construct  # type: ignore[assignment,method-assign]
    return made


def keep(op: Any, **values: Any) -> None:
    """Give a frozen operation its arguments in their one form."""
    for name, value in values.items():
        object.__setattr__(op, name, value)


def refuse(op: Any, name: str, value: Any, wanted: str) -> None:
    """Raise ConfigError: what was asked, what is taken."""
    raise ConfigError(f"{type(op).__name__}: {name} is {value!r}; it takes {wanted}.")


def check_choice(op: Any, name: str, known: Sequence[Any]) -> None:
    """Raise ConfigError unless the argument is one of the known."""
    value = getattr(op, name)
    if value not in known:
        raise ConfigError(f"{type(op).__name__}: {name} is {value!r}.{nearest(str(value), map(str, known))}")


def check_probability(op: Any) -> None:
    """Raise ConfigError unless p is a probability."""
    if not 0 <= op.p <= 1:
        refuse(op, "p", op.p, "a probability, 0 to 1")


def check_filter(op: Any) -> None:
    """How a resize weighs pixels: "bicubic" only with antialias, as torch's cubic without it is another one."""
    check_choice(op, "interpolation", ("nearest", "bilinear", "bicubic"))
    if op.interpolation == "bicubic" and not op.antialias:
        refuse(op, "antialias", op.antialias, "True with bicubic")


def as_tuple(value: Any) -> tuple[Any, ...]:
    """A sequence as a tuple, anything else as a tuple of it."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def whole_sizes(op: Any, name: str, value: Any, *, lengths: tuple[int, ...], least: int = 1) -> tuple[int, ...]:
    """One or several whole numbers."""
    sizes = as_tuple(value)
    if len(sizes) not in lengths or not all(isinstance(size, int) and size >= least for size in sizes):
        refuse(op, name, value, f"{' or '.join(map(str, lengths))} whole numbers, each {least} or more")
    return sizes


def square(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """(height, width) from one number or two."""
    return sizes * 2 if len(sizes) == 1 else sizes


def pair_of(op: Any, name: str, value: Any, *, least: float) -> tuple[float, float]:
    """(from, to)."""
    numbers = as_tuple(value)
    if len(numbers) != 2 or not least <= numbers[0] <= numbers[1] < float("inf"):
        refuse(op, name, value, f"two numbers, {least:g} or more, the lower first")
    return float(numbers[0]), float(numbers[1])


def angles_of(op: Any, name: str, value: Any, lengths: tuple[int, ...]) -> tuple[float, ...]:
    """Ranges in degrees; a number x is −x to x."""
    if not isinstance(value, Sequence):
        if value < 0:
            refuse(op, name, value, "a number from 0, or a range")
        value = (-float(value), float(value))
    elif len(value) not in lengths:
        refuse(op, name, value, f"a number or {' or '.join(map(str, lengths))} of them")
    if not all(map(math.isfinite, value)):
        refuse(op, name, value, "finite numbers")
    return tuple(map(float, value))


def fill_of(op: Any, value: Any) -> Fill:
    """One level or three; None stays."""
    if value is None:
        return None
    fill = tuple(map(float, as_tuple(value)))
    if len(fill) not in (1, 3) or not all(0 <= level <= 255 for level in fill):
        refuse(op, "fill", value, "one level or three, 0 to 255")
    return fill


def jitter_of(op: Any, name: str, value: Any, *, centre: float, least: float, most: float) -> tuple[float, ...] | None:
    """(from, to) of a factor; None where it changes nothing, as torchvision decides."""
    if value is None:
        return None
    if not isinstance(value, Sequence):
        if value < 0:
            refuse(op, name, value, "a number from 0, or a range")
        value = (max(centre - value, least), centre + value)
    pair = pair_of(op, name, value, least=least)
    if pair[1] > most:
        refuse(op, name, value, f"numbers up to {most:g}")
    return None if pair == (centre, centre) else pair
