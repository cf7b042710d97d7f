"""Which cost rule an aten operator has: the tables of the kinds put together. What is in none of them is not costed."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from rooflight.core.types import Op, Phase
from rooflight.trace.call import Call, Cost, Rule, layout, read_tensors, tensor_bytes, tensors, written_tensors
from rooflight.trace.elementwise import ELEMENTWISE
from rooflight.trace.moves import MOVES
from rooflight.trace.products import PRODUCTS
from rooflight.trace.reductions import NORMALIZATIONS, POOLS, REDUCTIONS
from rooflight.trace.updates import UPDATES

RULES: Mapping[str, Rule] = {
    **PRODUCTS,
    **ELEMENTWISE,
    **REDUCTIONS,
    **NORMALIZATIONS,
    **POOLS,
    **MOVES,
    **UPDATES,
}


def op_cost(
    call: Call,
    *,
    phase: Phase = "forward",
    maker: Callable[[Tensor], int | None] = lambda tensor: None,
    float32: str = "float32",
) -> Op:
    """The Op of one aten call; without a rule it has its bytes and costed=False.

    maker    tensor → index of the op that wrote it last; None: no op of this trace did
    float32  what products of float32 tensors compute in: "tfloat32" where that is allowed
    """
    rule = RULES.get(base_name(call.func))
    cost = rule(call) if rule else Cost("other", 0)
    written = cost.written
    if written is None:
        written = sum(map(tensor_bytes, written_tensors(call, cost.unwritten)))
    reads = [
        (tensor, written if name == cost.sparse else tensor_bytes(tensor))
        for name, tensor in read_tensors(call, cost.unread)
    ]
    dtype = _dtype(call)
    made = [(maker(tensor), size) for tensor, size in reads]
    return Op(
        name=str(call.func),
        kind=cost.kind,
        phase=phase,
        flops=cost.flops,
        bytes_read=sum(size for _, size in reads),
        bytes_written=written,
        dtype=float32 if cost.product and dtype == "float32" else dtype,
        costed=rule is not None,
        product=cost.product,
        inputs=tuple((index, size) for index, size in made if index is not None),
        layout=layout([*(tensor for tensor, _ in reads), *tensors(call.result)]),
    )


@lru_cache(maxsize=4096)
def base_name(func: torch._ops.OpOverload) -> str:
    """`aten::relu_` and `aten::_foreach_relu_.default` are both "relu": in place and in lists, it is the same work."""
    name = func._schema.name.partition("::")[2]
    return name.removeprefix("_foreach_").removesuffix("_")


def _dtype(call: Call) -> str:
    """The dtype that the work is done in: of the first floating-point input, else of the first output, else of any."""
    inputs = tensors(list(call.arguments.values()))
    outputs = tensors(call.result)
    floating = [tensor for tensor in inputs + outputs if tensor.is_floating_point()]
    chosen = (floating or outputs or inputs)[:1]
    return str(chosen[0].dtype).removeprefix("torch.") if chosen else "float32"
