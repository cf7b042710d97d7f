"""A pipeline as a loader's transform: drawn by sample number, compiled for the batch's sizes, run by an engine."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.runs import Preprocessing
from rooflight.data.engines.engine import Engine, before_mixing, mix_into, new_result
from rooflight.data.loader.batch import Images, Transform
from rooflight.data.pipeline.draws import Draws
from rooflight.data.pipeline.pipeline import Pipeline
from rooflight.data.pipeline.program import Program
from rooflight.data.preprocess import preprocess


@dataclass(frozen=True, slots=True)
class Augment:
    """A Transform."""

    pipeline: Pipeline
    engine: Engine

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> Draws:
        """As `Pipeline.draw`."""
        return self.pipeline.draw(ids, epoch=epoch, seed=seed)

    def apply(self, images: Images, draws: Draws, *, sizes: Tensor | None = None) -> Tensor:
        """See Transform. Images of several sizes go through the engine one by one: padding them would cost a copy,
        and a batch of thumbnails with one photo in it the memory of as many photos.
        """
        if isinstance(images, Tensor):
            found: Any = tuple(images.shape[2:]) if sizes is None else sizes.numpy()
            program = self.pipeline.compile(draws, found, images.shape[1])
            return self.engine.run(program.to(images.device), images)
        shapes = np.array([image.shape[1:] for image in images])
        program = self.pipeline.compile(draws, shapes, images[0].shape[0])
        apart = program if program.mix is None else before_mixing(program)
        result = new_result(apart, images[0][None])
        for number, image in enumerate(images):
            self.engine.run(_only(apart, number, image), image[None], out=result[number : number + 1])
        return result if program.mix is None else mix_into(program, result, new_result(program, images[0][None]))


@dataclass(frozen=True, slots=True)
class Evaluate:
    """A Transform that draws nothing: what evaluation, prediction and export share."""

    preprocessing: Preprocessing

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> None:
        """Nothing."""

    def apply(self, images: Images, draws: None, *, sizes: Tensor | None = None) -> Tensor:
        """As `preprocess`."""
        return preprocess(images, self.preprocessing)


@dataclass(frozen=True, slots=True)
class UntilEpoch:
    """A Transform that gives way to another after some epochs."""

    first: Transform
    then: Transform
    epochs: int

    def draw(self, ids: NDArray[np.int64], *, epoch: int, seed: int) -> tuple[Transform, Any]:
        """The epoch's transform, and what it draws."""
        chosen = self.first if epoch <= self.epochs else self.then
        return chosen, chosen.draw(ids, epoch=epoch, seed=seed)

    def apply(self, images: Images, draws: tuple[Transform, Any], *, sizes: Tensor | None = None) -> Tensor:
        """See Transform."""
        chosen, drawn = draws
        return chosen.apply(images, drawn, sizes=sizes)


def _only(program: Program, number: int, image: Tensor) -> Program:
    """The program of one sample of a batch."""
    first, *others = (_row(step, number) for step in program.passes)
    passes = (replace(first, source_size=tuple(image.shape[1:])), *others)
    erase = None if program.erase is None else program.erase[number : number + 1]
    return replace(program, passes=passes, erase=erase)


def _row(step: Any, number: int) -> Any:
    """A dataclass with one row of each of its tensors."""
    values = {field.name: getattr(step, field.name) for field in fields(step)}
    return replace(step, **{k: v[number : number + 1] for k, v in values.items() if isinstance(v, Tensor)})
