"""What was drawn for a batch: random words, kept apart from what is made of them, to be saved and replayed.

A draw knows nothing of the images: the same words give a crop in an image of any size.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.errors import ConfigError, DataError
from rooflight.data.pipeline.philox import Words, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The random words of each operation for each sample."""

    ids: NDArray[np.int64]  # (N,)
    epoch: int
    seed: int
    words: tuple[Words, ...]  # per operation uint64 (N, W) below 2³²; W is 0 for one that draws nothing
    pipeline: str  # hash of the pipeline that they were drawn for

    def __len__(self) -> int:
        return len(self.ids)

    def repeated(self, times: int) -> "Draws":
        """Each sample's draw so many times, one after another: for the frames of clips."""
        again = tuple(np.repeat(words, times, axis=0) for words in self.words)
        return replace(self, ids=np.repeat(self.ids, times), words=again)

    def save(self, path: Path) -> None:
        """One .npz file. raises DataError for a folder that is not there."""
        if not path.parent.is_dir():
            raise DataError(f"{path.parent}: no such folder to save draws in. Try making it first.")
        arrays: dict[str, Any] = {f"words_{index}": array for index, array in enumerate(self.words)}
        at = np.array([self.epoch, self.seed], np.uint64)
        with path.open("wb") as file:
            np.savez(file, ids=self.ids, at=at, pipeline=self.pipeline, **arrays)


def draw_words(
    ids: Sequence[int] | NDArray[np.int64], blocks: Sequence[int], *, epoch: int, seed: int, pipeline: str
) -> Draws:
    """Words for each sample and operation. raises ConfigError for a number that no counter holds."""
    given = np.asarray(ids).reshape(-1)
    if len(given) == 0:
        raise ConfigError("no sample was given to draw for.")
    if given.dtype.kind not in "iu":
        raise ConfigError(f"ids of samples are whole numbers, 0 … 2^32 − 1; these are {ids!s:.80}.")
    for name, value in (("epoch", epoch), ("seed", seed)):
        if not isinstance(value, int | np.integer):
            raise ConfigError(f"the {name} {value!r} is no whole number.")
    for name, least, most, bits in (
        ("id", given.min(), given.max(), 32),
        ("epoch", epoch, epoch, 32),
        ("seed", seed, seed, 64),
    ):
        if least < 0 or int(most) >= 2**bits:
            raise ConfigError(f"the {name} {least if least < 0 else most} is outside 0 … 2^{bits} − 1.")
    samples = given.astype(np.int64)
    found = [
        words(samples, epoch=epoch, seed=seed, operation=index, blocks=count) for index, count in enumerate(blocks)
    ]
    return Draws(ids=samples, epoch=epoch, seed=seed, words=tuple(found), pipeline=pipeline)


def load_draws(path: Path) -> Draws:
    """Draws from a file that `Draws.save` wrote. raises DataError if it is none."""
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            epoch, seed = map(int, file["at"])
            count = sum(name.startswith("words_") for name in file.files)
            drawn = tuple(file[f"words_{index}"] for index in range(count))
            return Draws(ids=file["ids"], epoch=epoch, seed=seed, words=drawn, pipeline=str(file["pipeline"]))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DataError(f"{path} holds no draws, or is cut off. Try a file that Draws.save wrote.") from None
