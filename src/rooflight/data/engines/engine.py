"""What an engine is."""

from dataclasses import replace
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from rooflight.core.errors import ShapeError
from rooflight.data.pipeline.program import Pass, Program
from rooflight.data.pipeline.reference import mixed

DTYPES = {
    "uint8": torch.uint8,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Engine(Protocol):
    """Carries out a program. Every engine's pixels are the reference's, within the tolerance its test states."""

    @property
    def name(self) -> str:
        """As it is reported and chosen by."""

    def refuses(self, program: Program, images: Tensor) -> str | None:
        """Why it cannot do this, in a few words; None if it can."""

    def run(self, program: Program, images: Tensor, out: Tensor | None = None) -> Tensor:
        """images uint8 (N, C, H, W) to a new tensor (N, channels, *size), or to `out`, of that shape, dtype and layout.

        raises  BackendError for a program that it refuses, ShapeError for an `out` of another shape, dtype or layout
        """


def new_result(program: Program, images: Tensor) -> Tensor:
    """An empty tensor for what the program makes of these images."""
    channels, dtype = program.channels, DTYPES[program.dtype]
    layout = (*program.size, channels) if program.channels_last else (channels, *program.size)
    shape = (program.samples, *layout)
    if images.device.type == "cpu":
        # numpy asks the kernel for huge pages, torch does not: fresh memory then costs a fraction of the page faults.
        flat = torch.from_numpy(np.empty(prod(shape) * dtype.itemsize, np.uint8))
        result = flat.view(dtype).view(shape)
    else:
        result = torch.empty(shape, dtype=dtype, device=images.device)
    return result.permute(0, 3, 1, 2) if program.channels_last else result


def result_in(program: Program, images: Tensor, out: Tensor | None) -> Tensor:
    """`out`, or a new tensor where it is None. Kernels write without looking, past the end of a smaller one."""
    if out is None:
        return new_result(program, images)
    shape, dtype = (program.samples, program.channels, *program.size), DTYPES[program.dtype]
    rows = out.permute(0, 2, 3, 1) if program.channels_last and out.dim() == 4 else out
    if tuple(out.shape) != shape or out.dtype != dtype or out.device != images.device or not rows.is_contiguous():
        layout = "channels last" if program.channels_last else "contiguous"
        raise ShapeError(
            f"out is {_of_type(out.dtype)} {tuple(out.shape)} on {out.device} with strides {out.stride()}; this "
            f"program fills {_of_type(dtype)} {shape} on {images.device}, {layout}. Try what a run without out "
            "returns."
        )
    return out


def _of_type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def packed(step: Pass) -> Pass:
    """The same with each tensor contiguous: one that is the same for all samples may be a single row, repeated."""
    tensors = {name: value.contiguous() for name in step.__slots__ if isinstance(value := getattr(step, name), Tensor)}
    return replace(step, **tensors)  # type: ignore[arg-type]


def before_mixing(program: Program) -> Program:
    """The same without the mixing, in float32: a result to hand to `mix_into`."""
    return replace(program, mix=None, dtype="float32")


def mix_into(program: Program, result: Tensor, out: Tensor) -> Tensor:
    """Samples of a float32 result mixed in pairs, in plain torch, in the program's dtype."""
    assert program.mix is not None
    result = mixed(result, program.mix)
    return out.copy_(result.round().clamp(0, 255) if program.dtype == "uint8" else result)
