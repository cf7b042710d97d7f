"""One call of an aten operator: its arguments, the tensors that it reads and writes, and what a rule says of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operator: its arguments by the names of its schema, and what it returned."""

    func: torch._ops.OpOverload
    arguments: Mapping[str, Any]
    result: Any

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a rule says of one call. Unless it knows better, every input is read once and every output written once."""

    kind: str
    flops: int
    product: tuple[int, int, int, int] | None = None
    unread: tuple[str, ...] = ()  # arguments that are given for their shape only
    unwritten: tuple[str, ...] = ()  # arguments that the schema lets it change, and that it only reads
    sparse: str | None = None  # a table of which only as many bytes are read as the operator writes
    written: int | None = None  # bytes, where only a part of what the operator may change is written


Rule = Callable[[Call], Cost]


def call_of(func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Call:
    names, defaults, _ = _signature(func)
    return Call(func, defaults | dict(zip(names, args, strict=False)) | dict(kwargs), result)


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in nested lists and tuples, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors(item)] if isinstance(value, list | tuple) else []


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes behind a tensor's elements; a dimension that was expanded (stride 0) is there once."""
    strides = tensor.stride()
    if 0 not in strides:
        return tensor.numel() * tensor.element_size()
    sizes = zip(tensor.shape, strides, strict=True)
    return prod(size for size, stride in sizes if stride or size == 0) * tensor.element_size()


def read_tensors(call: Call, unread: tuple[str, ...] = ()) -> list[tuple[str, Tensor]]:
    """The distinct input tensors with the names of their arguments, without those that are not read."""
    found: dict[tuple[int, int, int], tuple[str, Tensor]] = {}
    for name, value in call.arguments.items():
        if name not in unread:
            for tensor in tensors(value):
                found.setdefault(_place(tensor), (name, tensor))
    return list(found.values())


def written_tensors(call: Call, unwritten: tuple[str, ...] = ()) -> list[Tensor]:
    """The distinct tensors that a call makes or changes; an in-place operator returns what it changed."""
    names = [name for name in changeable(call.func) if name not in unwritten]
    found = [tensor for name in names for tensor in tensors(call[name])] + tensors(call.result)
    return list({_place(tensor): tensor for tensor in found}.values())


def layout(found: Iterable[Tensor]) -> Literal["first", "last", "mixed"] | None:
    """How tensors of two dimensions or more lie in memory: row by row ("first"), channels last, or not all alike."""
    orders = {order for tensor in found if (order := _order(tensor)) is not None}
    return orders.pop() if len(orders) == 1 else "mixed" if orders else None


def _order(tensor: Tensor) -> Literal["first", "last", "mixed"] | None:
    """None: both orders are the same, or there is only one dimension."""
    if tensor.dim() < 2 or tensor.numel() <= tensor.shape[0]:
        return None
    row_by_row = tensor.is_contiguous()
    if tensor.dim() != 4:
        return "first" if row_by_row else "mixed"
    last = tensor.is_contiguous(memory_format=torch.channels_last)
    if row_by_row:
        return None if last else "first"
    return "last" if last else "mixed"


def changeable(func: torch._ops.OpOverload) -> tuple[str, ...]:
    """Names of the arguments that the operator may change in place."""
    return _signature(func)[2]


def _place(tensor: Tensor) -> tuple[int, int, int]:
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset()), tensor.numel()


@lru_cache(maxsize=4096)
def _signature(func: torch._ops.OpOverload) -> tuple[tuple[str, ...], dict[str, Any], tuple[str, ...]]:
    """Names of the arguments, the defaults, and the names of those that it may change."""
    schema = func._schema.arguments
    names = tuple(argument.name for argument in schema)
    defaults = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    changed = tuple(
        argument.name for argument in schema if argument.alias_info is not None and argument.alias_info.is_write
    )
    return names, defaults, changed
