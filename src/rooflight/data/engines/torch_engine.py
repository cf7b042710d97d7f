"""The reference as an engine: plain torch, for every program, on every device."""

from torch import Tensor

from rooflight.data.pipeline import reference
from rooflight.data.pipeline.program import Program


class TorchEngine:
    """It defines the pixels."""

    name = "torch"

    def refuses(self, program: Program, images: Tensor) -> str | None:
        """Nothing."""
        return None

    def run(self, program: Program, images: Tensor, out: Tensor | None = None) -> Tensor:
        """See Engine."""
        result = reference.run(program.to(images.device), images)
        return result if out is None else out.copy_(result)
