"""Watches operators run and storages live and die: the part of tracing that keeps state."""

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rooflight.core.types import Lifetime, Op, Phase, Role
from rooflight.trace.call import Call, call_of, tensors, written_tensors
from rooflight.trace.rules import op_cost
from rooflight.trace.shapes import RESULTS

# They hand out memory and put nothing into it, wrap a number of the host, or turn a tensor into a view: no work, so no
# Op. What they hand out is followed all the same.
_IDLE = frozenset(
    f"aten::{name}"
    for name in (
        *("empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided"),
        *("lift", "lift_fresh", "detach_", "as_strided_", "squeeze_", "unsqueeze_", "t_", "transpose_", "resize_"),
    )
)


_DEVICE = torch.ops.prim.device.default
_CPU = torch.device("cpu")  # where every tensor of a trace says that it is; see gpu.py


@dataclass(slots=True)
class _Block:
    """A storage being followed. last_op is None while it lives, writer until an op writes it."""

    bytes: int
    first_op: int
    role: Role
    last_op: int | None = None
    writer: int | None = None


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator that runs inside it, and the storages that they make.

    Views and questions about a tensor (its device, a profiler's mark) do no work and are not recorded. A storage is
    followed by a weak reference: it dies when its last tensor does, in Python or in autograd's saved tensors.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled, so that no guard against it is needed around every call."""
        return False

    def __init__(self, float32: str = "float32", scratch_bytes: Callable[[Call], int] | None = None) -> None:
        """
        scratch_bytes  of a call: what its operator takes of the allocator for itself; None: not known
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.phase: Phase = "forward"
        self.ops: list[Op] = []
        self._float32 = float32
        self._scratch_bytes = scratch_bytes
        self._paused = False
        self._blocks: list[_Block] = []
        self._living: dict[int, tuple[_Block, weakref.ref[torch.UntypedStorage]]] = {}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What runs inside leaves no trace; what stays of it can be followed afterwards."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def follow(self, found: Iterable[Tensor], role: Role) -> None:
        """Give the storages of these tensors this role; those not followed yet were there before the first operator."""
        for tensor in found:
            storage = tensor.untyped_storage()
            known = self._living.get(storage._cdata)
            if known is None:
                self._start(storage, 0, role)
            else:
                known[0].role = role

    def lifetimes(self) -> tuple[Lifetime, ...]:
        """Of every storage so far, oldest first. One that still lives counts up to the last operator."""
        last = len(self.ops) - 1
        ended = [(block, last if block.last_op is None else block.last_op) for block in self._blocks]
        # A block that came and went between two operators was never alive during one.
        whole = [(block, end) for block, end in ended if block.bytes and end >= block.first_op]
        return tuple(
            Lifetime(bytes=block.bytes, first_op=block.first_op, last_op=end, role=block.role) for block, end in whole
        )

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _DEVICE:  # asked several times by every call
            return _CPU
        kwargs = kwargs or {}
        shape = RESULTS.get(func._schema.name)
        if shape is not None:
            result = shape(call_of(func, args, kwargs, None))
        else:
            result = self._decomposed(func, args, kwargs)
            if result is not NotImplemented:
                return result
            result = func(*args, **kwargs)
        if not self._paused:
            self._record(call_of(func, args, kwargs, result))
        return result

    def _record(self, call: Call) -> None:
        index = len(self.ops)  # before the Op joins: its outputs are alive from it on
        works = self._works(call)
        if works:
            self.ops.append(op_cost(call, phase=self.phase, maker=self._maker, float32=self._float32))
            if self._scratch_bytes is not None and (scratch := self._scratch_bytes(call)):
                self._blocks.append(_Block(scratch, index, "workspace", last_op=index))
        for tensor in tensors(call.result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._living:
                self._start(storage, index, "activation")
        for tensor in written_tensors(call) if works else ():
            known = self._living.get(tensor.untyped_storage()._cdata)
            if known is not None:
                known[0].writer = index

    def _maker(self, tensor: Tensor) -> int | None:
        """Index of the op that wrote the tensor's storage last."""
        known = self._living.get(tensor.untyped_storage()._cdata)
        return known[0].writer if known else None

    def _decomposed(self, func: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result by way of simpler operators, for a composite one (inference mode lets them through whole)."""
        if func.namespace != "aten" or not func._can_decompose():
            return NotImplemented
        with self:
            return func.decompose(*args, **kwargs)

    def _works(self, call: Call) -> bool:
        """Does the call make or change data? A view shares its storage with an input and changes nothing."""
        if call.func._schema.name in _IDLE:
            return False
        if call.func._schema.is_mutable:
            return bool(written_tensors(call))
        inputs = {tensor.untyped_storage()._cdata for tensor in tensors(list(call.arguments.values()))}
        return any(tensor.untyped_storage()._cdata not in inputs for tensor in tensors(call.result))

    def _start(self, storage: torch.UntypedStorage, index: int, role: Role) -> None:
        block = _Block(storage.nbytes(), index, role)
        key = storage._cdata
        self._blocks.append(block)
        self._living[key] = (block, weakref.ref(storage, partial(self._end, key)))

    def _end(self, key: int, _: object) -> None:
        block, _ = self._living.pop(key)
        block.last_op = len(self.ops) - 1
