"""WebDataset shards: .tar files whose members share a key, 000017.jpg and 000017.cls, read where they lie."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import DataError
from rooflight.data.decode import SUFFIXES, decode_pixels
from rooflight.data.jpeg import Empty

IMAGES = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
LABEL = "cls"  # a whole number in text, as WebDataset's own examples have it


@dataclass(frozen=True, slots=True)
class Member:
    """One sample of a shard: where its image lies in the file, and its label."""

    key: str
    start: int  # bytes from the beginning of the shard
    size: int
    label: int


class Shards:
    """The samples of several shards, in their order. Each shard is indexed once, and read by position from then on."""

    def __init__(self, paths: Sequence[Path], channels: int) -> None:
        """raises DataError if a shard is no .tar file, is cut off, or has a sample without image or label"""
        if not paths:
            raise DataError("no shard was given. Try a pattern such as train-*.tar.")
        self.paths, self.channels = tuple(paths), channels
        self._members = [index_shard(path) for path in paths]
        self.shards = tuple(len(members) for members in self._members)
        self._flat = [(shard, member) for shard, members in enumerate(self._members) for member in members]
        self.labels: Tensor = torch.tensor([member.label for _, member in self._flat], dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._flat)

    def name(self, sample: int) -> str:
        shard, member = self._flat[sample]
        return f"{self.paths[shard]}:{member.key}"

    def read(self, sample: int) -> bytes:
        shard, member = self._flat[sample]
        with self.paths[shard].open("rb", buffering=0) as file:
            file.seek(member.start)
            return file.read(member.size)

    def decode(self, content: bytes, sample: int, empty: Empty = np.empty) -> NDArray[Any]:
        return decode_pixels(content, self.channels, name=self.name(sample), empty=empty)


def index_shard(path: Path) -> list[Member]:
    """Where each sample of a shard lies, in the order of the file. Only headers and labels are read."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            size = path.stat().st_size
            for info in archive:
                folder, _, file = info.name.rpartition("/")
                stem, _, kind = file.partition(".")  # WebDataset: the key ends at the first dot of the file's name
                key = f"{folder}/{stem}" if folder else stem
                if info.offset_data + info.size > size:
                    raise tarfile.ReadError(f"{info.name} is cut off")
                if info.isfile() and kind.lower() in IMAGES:
                    images[key] = info
                elif info.isfile() and kind.lower() == LABEL:
                    labels[key] = _label(archive, info, path)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path} is no whole .tar file ({error}). Try making the shard again.") from None
    unpaired = sorted(images.keys() ^ labels.keys())
    if unpaired or not images:
        what = f"{unpaired[0]!r} lacks its image or its .{LABEL}" if unpaired else "it has no image"
        raise DataError(f"{path}: {what}. A sample is an image ({', '.join(IMAGES)}) and a .{LABEL} of the same name.")
    return [Member(key, info.offset_data, info.size, labels[key]) for key, info in images.items()]


def _label(archive: tarfile.TarFile, info: tarfile.TarInfo, path: Path) -> int:
    file = archive.extractfile(info)
    text = file.read().decode(errors="replace").strip() if file else ""
    if not text.isascii() or not text.isdigit():
        raise DataError(f"{path}: {info.name} holds {text[:20]!r}; a label is a whole number, 0 or more.")
    return int(text)
