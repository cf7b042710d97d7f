"""Batches to the device on a stream of their own, one ahead of the one in use."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rooflight.data.loader.batch import HostBatch

# A batch's inputs on the device, moved or decoded there and augmented; and the labels, where they are
Finish = Callable[[HostBatch], tuple[Tensor, Tensor]]
Given = tuple[int, Tensor, Tensor]  # samples given out with it, inputs, labels


class Copies:
    """Copies, decodes and augments on a side stream, while the device's main stream trains. A CPU has no streams."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def ahead(self, batches: Iterator[HostBatch], finish: Finish) -> Iterator[Given]:
        """The batches on the device; the next one is on its way before one is given out."""
        if self._stream is None:
            yield from ((batch.after, *finish(batch)) for batch in batches)
            return
        pending: tuple[HostBatch, Given, torch.cuda.Event] | None = None
        for batch in batches:
            issued = self._issue(self._stream, batch, finish)
            if pending is not None:
                yield self._ready(pending)
            pending = issued
        if pending is not None:
            yield self._ready(pending)

    def _issue(
        self, stream: torch.cuda.Stream, batch: HostBatch, finish: Finish
    ) -> tuple[HostBatch, Given, torch.cuda.Event]:
        with torch.cuda.stream(stream):
            inputs, labels = finish(batch)
            labels = labels.to(self.device, non_blocking=True)
            return batch, (batch.after, inputs, labels), stream.record_event()

    def _ready(self, issued: tuple[HostBatch, Given, torch.cuda.Event]) -> Given:
        """Let the main stream wait for the side stream, on the device; the host goes on."""
        _, given, done = issued
        main = torch.cuda.current_stream(self.device)
        main.wait_event(done)
        for tensor in given[1:]:
            tensor.record_stream(main)  # its memory is not handed out again before the main stream is through with it
        return given
