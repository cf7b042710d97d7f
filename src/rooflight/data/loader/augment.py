"""A pipeline as a loader's transform: drawn by sample number, compiled for the batch's sizes, run by an engine."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rooflight.data.pipeline import reference
from rooflight.data.pipeline.draws import Draws
from rooflight.data.pipeline.pipeline import Pipeline
from rooflight.data.pipeline.program import Program


@dataclass(frozen=True, slots=True)
class Augment:
    """A Transform. The engine takes the program of a batch and its images, both on the images' device."""

    pipeline: Pipeline
    engine: Callable[[Program, Tensor], Tensor] = reference.run

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Draws:
        """As `Pipeline.draw`."""
        return self.pipeline.draw(ids, epoch=epoch, seed=seed)

    def apply(self, images: Tensor, draws: Draws, *, sizes: Tensor | None = None) -> Tensor:
        """uint8 (N, C, H, W), padded where sizes are given, to the pipeline's result."""
        found = tuple(images.shape[2:]) if sizes is None else sizes.numpy()
        program = self.pipeline.compile(draws, found, images.shape[1])
        return self.engine(program.to(images.device), images)
