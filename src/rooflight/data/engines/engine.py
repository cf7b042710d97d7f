"""What an engine is."""

from typing import Protocol

import torch
from torch import Tensor

from rooflight.data.pipeline.program import Program

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

        raises  BackendError for a program that it refuses
        """


def new_result(program: Program, images: Tensor) -> Tensor:
    """An empty tensor for what the program makes of these images."""
    layout = torch.channels_last if program.channels_last else torch.contiguous_format
    shape = (program.samples, program.channels, *program.size)
    return torch.empty(shape, dtype=DTYPES[program.dtype], device=images.device, memory_format=layout)
