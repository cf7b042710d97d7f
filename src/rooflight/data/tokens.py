"""Mini-batches of tokenised texts in memory."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from rooflight.data.loader.order import Order, shuffled

MASK = "attention_mask"


class TokenBatches:
    """Texts as token ids, with a mask that says which are the text's own."""

    def __init__(
        self, inputs: Mapping[str, Tensor], labels: Tensor, *, batch: int, seed: int, device: torch.device
    ) -> None:
        """inputs: int64 (N, T) each, an attention_mask among them; labels: int64 (N,)"""
        self.inputs, self.labels = inputs, labels
        self.batch, self.seed, self.device = batch, seed, device

    def __len__(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return -(-self.samples // self.batch)

    @property
    def samples(self) -> int:
        """In an epoch."""
        return len(self.labels)

    def order(self, epoch: int) -> Order:
        """The samples of an epoch in the order that they are trained on."""
        return shuffled(self.samples, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """(inputs, labels) from place `start` of the order on."""
        for ids in torch.from_numpy(self.order(epoch)[start:]).split(self.batch):
            yield self._chosen(ids)

    def in_order(self, batch: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Every sample once, as listed."""
        for ids in torch.arange(self.samples).split(batch):
            yield self._chosen(ids)

    def _chosen(self, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """As long as the longest text among them."""
        longest = int(self.inputs[MASK][ids].sum(1).max())
        rows = {name: tokens[ids, :longest].to(self.device) for name, tokens in self.inputs.items()}
        return rows, self.labels[ids].to(self.device)
