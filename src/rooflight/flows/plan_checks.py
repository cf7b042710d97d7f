"""What no trace can say: a file that was edited or damaged is refused before anything is worked out from it."""

from collections.abc import Iterator

from rooflight.core.errors import ConfigError
from rooflight.core.types import Trace

MOST = 10**24  # bytes or FLOPs of one operator, which no step comes near


def refuse_impossible(trace: Trace, what: str) -> None:
    """Raises ConfigError with the first number that cannot be."""
    for name, value, least in _numbers(trace):
        if not least <= value < MOST:
            shown = f"{value:,}" if abs(value) < MOST else f"a number of {len(str(abs(value)))} digits"
            raise ConfigError(f"{what}: {name} is {shown}, which cannot be. Trace the model again.")


def _numbers(trace: Trace) -> Iterator[tuple[str, int, int]]:
    """Each number's name, value and least value."""
    work = trace.workload
    yield "batch", work.batch, 1
    yield "accumulation", work.accumulation, 1
    for size in work.input_shape:
        yield "a size of input_shape", size, 1
    for name in ("parameters", "parameter_bytes", "flops", "bytes", "peak_bytes"):
        yield name, getattr(trace, name), 0
    for index, op in enumerate(trace.ops):
        where = f"of operator {index:,}, {op.name},"
        for name in ("flops", "bytes_read", "bytes_written"):
            yield f"{name} {where}", getattr(op, name), 0
        for size in op.product or ():
            yield f"a size of the product {where}", size, 1
        for _, size in op.inputs:
            yield f"the bytes of an input {where}", size, 0
    for index, block in enumerate(trace.lifetimes):
        yield f"bytes of block {index:,}", block.bytes, 0
