"""From levels to the result: what ToDtype, Normalize, RandomErasing, MixUp and CutMix make of the last pass."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rooflight.core.errors import ConfigError
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.erasing import erased_value
from rooflight.data.pipeline.mixing import mix_of
from rooflight.data.pipeline.parameters import Parameters
from rooflight.data.pipeline.program import OutputDtype, Pass, Program

MIXES = (ops.MixUp, ops.CutMix)
STAGES: dict[type, int] = {
    ops.RandomErasing: 1,
    ops.ToDtype: 1,
    ops.Normalize: 1,
    ops.MixUp: 2,
    ops.CutMix: 2,
}  # of an operation that is none of these: 0


def check_order(operations: Sequence[Any]) -> None:
    """Raise ConfigError for an order in which levels are changed after they are no levels any more."""
    stages = [STAGES.get(type(op), 0) for op in operations]
    for before, after, earlier, later in zip(operations, operations[1:], stages, stages[1:], strict=False):
        if later < earlier:
            raise ConfigError(
                f"{type(after).__name__} stands after {type(before).__name__}. Try it before: geometry and colours "
                "first, then RandomErasing, ToDtype and Normalize, then MixUp or CutMix."
            )
    for kind in ((ops.ToDtype,), (ops.Normalize,), MIXES):
        if sum(isinstance(op, kind) for op in operations) > 1:
            raise ConfigError(f"a pipeline takes one {' or '.join(each.__name__ for each in kind)}, this one has more.")
    kinds = [type(op) for op in operations]
    if ops.ToDtype in kinds and ops.Normalize in kinds:
        convert = operations[kinds.index(ops.ToDtype)]
        if kinds.index(ops.Normalize) < kinds.index(ops.ToDtype) and convert.scale:
            raise ConfigError("ToDtype scales after Normalize. Try it before, or scale=False.")
        if convert.dtype == "uint8":
            raise ConfigError("Normalize gives no whole levels. Try ToDtype of float32, float16 or bfloat16.")


def result_dtype(operations: Sequence[Any]) -> OutputDtype:
    """Of ToDtype; else float32 if anything makes the levels numbers; else uint8."""
    for op in operations:
        if isinstance(op, ops.ToDtype):
            return op.dtype
    return "float32" if any(isinstance(op, (ops.Normalize, *MIXES)) for op in operations) else "uint8"


def levels_to_result(operations: Sequence[Any], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(scale, shift) per channel: result = level·scale + shift."""
    for op in operations:
        if isinstance(op, ops.Normalize):
            if len(op.mean) not in (1, channels):
                raise ConfigError(f"Normalize has {len(op.mean)} means, the images {channels} channels.")
            mean, std = op.mean * (channels // len(op.mean)), op.std * (channels // len(op.std))
            return tuple(1 / (255 * s) for s in std), tuple(-m / s for m, s in zip(mean, std, strict=True))
    shares = any(isinstance(op, ops.ToDtype) and op.scale and op.dtype != "uint8" for op in operations)
    return (1 / 255 if shares else 1.0,) * channels, (0.0,) * channels


def assemble(
    passes: tuple[Pass, ...],
    operations: Sequence[Any],
    drawn: Sequence[Parameters],
    *,
    source_channels: int,
    channels: int,
    channels_last: bool,
) -> Program:
    """The whole program of a batch."""
    scale, shift = levels_to_result(operations, channels)
    boxes, values, mix, unit = [], [], None, "levels"
    for op, made in zip(operations, drawn, strict=True):
        if isinstance(op, ops.ToDtype) and op.scale:
            unit = "share"
        elif isinstance(op, ops.Normalize):
            unit = "result"
        elif isinstance(op, ops.RandomErasing):
            boxes.append(np.stack([made[name] for name in ("top", "left", "height", "width")], axis=1))
            values.append(erased_value(op, unit, scale, shift))
        elif isinstance(op, MIXES):
            mix = mix_of(made)
    return Program(
        passes=passes,
        source_channels=source_channels,
        channels=channels,
        dtype=result_dtype(operations),
        channels_last=channels_last,
        scale=scale,
        shift=shift,
        erase=torch.from_numpy(np.stack(boxes, axis=1).astype(np.float32)) if boxes else None,
        erase_value=tuple(values),
        mix=mix,
    )
