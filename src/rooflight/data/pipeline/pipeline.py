"""A pipeline: operations in order, their draws, and the images that come of them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.codec import from_plain, to_plain
from rooflight.core.errors import ConfigError, ShapeError, nearest
from rooflight.data.pipeline import erasing, mixing, policies, reference
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.compile import Compiler, add_colour, add_geometry
from rooflight.data.pipeline.draws import Draws, draw_words
from rooflight.data.pipeline.parameters import DRAWN as DRAWN_ALONE
from rooflight.data.pipeline.parameters import Parameters
from rooflight.data.pipeline.program import Program
from rooflight.data.pipeline.result import MIXES, assemble, check_order

Images = Tensor | Sequence[Tensor]
DRAWN: dict[type, tuple[int, Callable[..., Parameters]]] = {  # blocks of four words, and what is made of them
    **DRAWN_ALONE,
    ops.RandAugment: (1, policies.rand_augment),  # for each operation that it draws
    ops.TrivialAugmentWide: (1, policies.trivial_augment),
    ops.RandomErasing: (erasing.BLOCKS, erasing.random_erasing),
    **dict.fromkeys(MIXES, (mixing.BLOCKS, mixing.mixing)),
}


@dataclass(frozen=True)
class Pipeline:
    """Operations in the order in which they are applied.

    channels_last  the result's memory layout
    raises         ConfigError for an order that cannot be
    """

    operations: Sequence[Any]
    channels_last: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.operations, Iterable):
            raise ConfigError(
                f"a pipeline takes a list of operations, it was given {self.operations!r}. Try [Resize(224)]."
            )
        object.__setattr__(self, "operations", tuple(self.operations))
        for op in self.operations:
            if type(op) not in DRAWN:
                kind = type(op).__name__
                raise ConfigError(f"{kind} is no operation of a pipeline.{nearest(kind, ops.OPERATIONS)}")
        check_order(self.operations)

    # ------------------------------------------------------------ as a document

    def to_json(self) -> str:
        """The canonical document: every argument of every operation, in one form."""
        listed = [{"name": type(op).__name__, **to_plain(op)} for op in self.operations]
        return json.dumps({"operations": listed, "channels_last": self.channels_last}, allow_nan=False)

    @staticmethod
    def from_json(document: str) -> "Pipeline":
        """A pipeline from a document; an argument may be left out where it has a default. raises ConfigError."""
        try:
            plain = json.loads(document)
        except ValueError as error:
            raise ConfigError(f"the pipeline is not JSON: {error}.") from None
        if not isinstance(plain, dict) or not isinstance(plain.get("operations"), list):
            raise ConfigError('a pipeline is {"operations": [{"name": "Resize", "size": [224]}, …]}.')
        for key in plain.keys() - {"operations", "channels_last"}:
            raise ConfigError(f"the pipeline has no key {key!r}.{nearest(key, ['operations', 'channels_last'])}")
        found = [read_operation(item) for item in plain["operations"]]
        return Pipeline(found, channels_last=bool(plain.get("channels_last", False)))

    @cached_property
    def sha256(self) -> str:
        """Hash of the canonical document: equal hashes, equal pixels."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    # ------------------------------------------------------------ draw, then apply

    @property
    def draws(self) -> str:
        """Names of the operations that draw at random."""
        return ", ".join(type(op).__name__ for op in self.operations if DRAWN[type(op)][0])

    def draw(self, ids: Sequence[int] | NDArray[np.int64], epoch: int = 0, seed: int = 0) -> Draws:
        """What happens to each sample: a function of (seed, epoch, sample, operation) alone."""
        blocks = [DRAWN[type(op)][0] * getattr(op, "num_ops", 1) for op in self.operations]
        return draw_words(ids, blocks, epoch=epoch, seed=seed, pipeline=self.sha256)

    def parameters(self, draws: Draws, sizes: Any) -> tuple[Parameters, ...]:
        """Each operation's parameters by name, (N, …), for images of these sizes: (height, width), or (N, 2).

        raises  ConfigError for draws of another pipeline
        """
        return self._compiled(draws, sizes)[1]

    def compile(self, draws: Draws, sizes: Any, channels: int = 3) -> Program:
        """The program of a batch, on the host. sizes as `parameters`; channels of the images, 1 or 3."""
        compiler, made = self._compiled(draws, sizes)
        return assemble(
            compiler.finish(),
            self.operations,
            made,
            source_channels=channels,
            channels=self.channels(channels),
            channels_last=self.channels_last,
        )

    def channels(self, channels: int) -> int:
        """Channels of the result."""
        if channels not in (1, 3):
            raise ShapeError(f"a pipeline takes images of 1 or 3 channels, these have {channels}.")
        grey = [op.num_output_channels for op in self.operations if isinstance(op, ops.Grayscale)]
        return grey[-1] if grey else channels

    def apply(self, images: Images, draws: Draws) -> Tensor:
        """The images by the reference engine.

        images   uint8 (N, C, H, W), or N of (C, H, W) in several sizes
        returns  (N, C', height, width)
        """
        batch, sizes = stack(images)
        program = self.compile(draws, sizes, batch.shape[1])
        return reference.run(program.to(batch.device), batch)

    def apply_clips(self, clips: Tensor, draws: Draws) -> Tensor:
        """Clips of frames by the reference engine, with one draw for all frames of a clip.

        clips    uint8 (N, C, T, H, W)
        returns  (N, C', T, height, width)
        raises   ShapeError for another shape; ConfigError where the pipeline mixes samples
        """
        if clips.dim() != 5:
            raise ShapeError(f"clips are (N, C, T, H, W); these are {tuple(clips.shape)}.")
        if any(isinstance(op, MIXES) for op in self.operations):
            raise ConfigError("MixUp and CutMix mix images of a batch, not frames of clips. Try without.")
        frames = self.apply(clips.transpose(1, 2).flatten(0, 1), draws.repeated(clips.shape[2]))
        shape = (len(clips), clips.shape[2], *frames.shape[1:])
        return frames.reshape(shape).transpose(1, 2)

    def labels(self, labels: Tensor, draws: Draws, sizes: Any) -> Tensor:
        """Labels of the same batch: float32 (N, classes) where MixUp or CutMix mixes them, as they are elsewhere."""
        for op, drawn in zip(self.operations, self.parameters(draws, sizes), strict=True):
            if isinstance(op, MIXES):
                return mixing.mix_labels(labels, mixing.mix_of(drawn), op.num_classes)
        return labels

    def _compiled(self, draws: Draws, sizes: Any) -> tuple[Compiler, tuple[Parameters, ...]]:
        if draws.pipeline != self.sha256:
            raise ConfigError("these draws were made for another pipeline. Try drawing again.")
        given = np.asarray(sizes, np.int64)
        if given.ndim > 1 and len(given) != len(draws):
            raise ShapeError(
                f"the draws are for {len(draws)} images, the batch has {len(given)}. Try drawing again for this batch."
            )
        if (given < 1).any():
            raise ShapeError("an image without a pixel: its height or width is 0.")
        whole = np.broadcast_to(given, (len(draws), 2))
        compiler = Compiler(whole)
        found = []
        for op, words in zip(self.operations, draws.words, strict=True):
            made = DRAWN[type(op)][1](op, words, compiler.sketch.size)
            found.append(made)
            if not (add_geometry(compiler, op, made) or add_colour(compiler, op, made)):
                policies.add_policy(compiler, op, made)  # what is none of these makes the result: assemble
        return compiler, tuple(found)


def read_operation(plain: Any) -> Any:
    """One operation from {"name": …, its arguments}."""
    if not isinstance(plain, dict) or "name" not in plain:
        raise ConfigError(f'an operation is {{"name": "Resize", "size": [224]}}; this one is {plain!r}.')
    named = {key: value for key, value in plain.items() if key != "name"}
    kind = ops.OPERATIONS.get(str(plain["name"]))
    if kind is None:
        raise ConfigError(f"there is no operation {plain['name']!r}.{nearest(str(plain['name']), ops.OPERATIONS)}")
    return from_plain(kind, named, what=plain["name"])


def stack(images: Images) -> tuple[Tensor, NDArray[np.int64]]:
    """One tensor (N, C, H, W) of images in several sizes, each in the upper left corner, and their sizes (N, 2)."""
    if isinstance(images, Tensor):
        if images.dim() != 4:
            raise ShapeError(f"a pipeline takes images (N, C, H, W), it was given {tuple(images.shape)}.")
        return images, np.tile(np.array(images.shape[2:], np.int64), (len(images), 1))
    if not isinstance(images, Sequence) or not all(isinstance(image, Tensor) for image in images):
        raise ShapeError(
            f"a pipeline takes tensors, one or a list, it was given {type(images).__name__}. Try torch.from_numpy."
        )
    sizes = np.array([image.shape[-2:] for image in images], np.int64).reshape(-1, 2)
    if len(sizes) == 0:
        raise ShapeError("no image was given.")
    height, width = map(int, sizes.max(0))
    batch = torch.zeros(len(images), images[0].shape[0], height, width, dtype=torch.uint8, device=images[0].device)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch, sizes
