"""What a run was really fed, batch after batch: the witness of `rooflight prove`."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from rooflight.train.loop import EpochBatches


class LoggedBatches:
    """Batches that leave a line of a file each: their place, the numbers of their samples, a hash of every bit in them.

    A line is written in one go before the batch is handed out, so that a process that is killed has logged every batch
    that it trained on. Hashing makes the host wait for the device: for proofs only.
    """

    def __init__(self, batches: EpochBatches, path: Path, *, batch: int) -> None:
        """batch: samples of all ranks together"""
        self.batches, self.path, self.batch = batches, path, batch
        if path.is_file() and not path.read_bytes().endswith(b"\n"):
            path.write_bytes(path.read_bytes() + b"\n")  # a line that was cut off stays alone

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self.batches)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        return self.batches.samples

    def order(self, epoch: int) -> NDArray[np.int64]:
        """As the batches have it."""
        return self.batches.order(epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """As the batches have it."""
        order = self.batches.order(epoch)
        with self.path.open("ab", buffering=0) as file:
            for inputs, targets in self.batches.epoch(epoch, start=start):
                ids = order[start : start + self.batch]
                row = {"epoch": epoch, "samples": start, "ids": ids.tolist(), "sha256": _sha256((inputs, targets))}
                file.write(json.dumps(row).encode() + b"\n")
                start += len(ids)
                yield inputs, targets


def _sha256(batch: Any) -> str:
    digest = hashlib.sha256()
    for tensor in pytree.tree_leaves(batch):
        if isinstance(tensor, Tensor):
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
