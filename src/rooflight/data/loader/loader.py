"""Samples from disk to batches on the device, in an exact order, decoded by workers while the device works."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rooflight.core.errors import BackendError, ConfigError, DataError
from rooflight.core.runs import BadSample
from rooflight.data.jpeg import Empty
from rooflight.data.loader.bad import BadSamples
from rooflight.data.loader.batch import Arena, HostBatch, Images, Transform, as_images, collate
from rooflight.data.loader.device import Copies
from rooflight.data.loader.on_device import DecodeOn, check_decode, decode_files, file_for_device
from rooflight.data.loader.order import (
    LoaderState,
    Order,
    check_ranks,
    check_seed,
    rank_slices,
    shuffled,
    shuffled_by_shard,
)
from rooflight.data.loader.sources import Source

Take = Callable[[Source, int, Empty], Any]  # a sample, read and decoded as far as the host does it
BATCHES_AHEAD = 2  # that each worker may be ahead of what is taken


class Loader:
    """Batches of a source. What an epoch holds, and in which order, depends on (seed, epoch) alone.

    A worker is a thread that makes whole batches: it reads, decodes and, on the CPU, augments. Decoders and engines
    release the interpreter, so threads do what processes would, without copies between them.

    A sample that cannot be read or decoded is recorded, skipped from then on, and replaced by the one that stands half
    an epoch further: batches keep their size, and the replacement too depends on (seed, epoch) alone.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch: int,
        seed: int,
        transform: Transform | None = None,
        workers: int = 0,
        device: torch.device | None = None,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        shuffle: bool = True,
        buffer: int = 2048,
        max_bad: float = 0.05,
        replace_bad: bool = True,
        decode: DecodeOn = "workers",
    ) -> None:
        """batch: samples of all ranks together. workers: 0 makes each batch when it is asked for.

        device   where batches are given out; None: the CPU
        buffer   samples that are shuffled together where the source has shards
        max_bad  share of the source that may be broken
        replace_bad  False: a batch is shorter by its broken samples, as an evaluation wants
        decode   "gpu": workers read, and the device decodes JPEG files; the others are decoded by workers
        raises   ConfigError for what does not fit together; BackendError where nothing decodes on a GPU
        """
        if batch < 1 or workers < 0 or buffer < 1:
            raise ConfigError(f"batch {batch}, workers {workers}, buffer {buffer}: at least 1, 0 and 1.")
        check_seed(seed)
        if len(source) == 0:
            raise DataError("the source has no sample.")
        check_ranks(len(source), batch=batch, rank=rank, world_size=world_size, drop_last=drop_last)
        if drop_last and len(source) < batch:
            raise ConfigError(f"{len(source)} samples make no whole batch of {batch}. Try a smaller --batch.")
        check_decode(decode, source)
        self.source, self.transform, self.decode = source, transform, decode
        self.batch, self.workers, self.shuffle, self.buffer = batch, workers, shuffle, buffer
        self.replace_bad = replace_bad
        self.rank, self.world_size, self.drop_last = rank, world_size, drop_last
        self.state = LoaderState(seed=seed, epoch=0, samples=0)
        self._skip = 0  # samples of the next epoch that were given out before a resume
        self._bad = BadSamples(len(source), max_bad)
        self._arena = Arena()
        self._copies = Copies(device or torch.device("cpu"))

    def __len__(self) -> int:
        """Steps in a whole epoch."""
        whole, rest = divmod(len(self.source), self.batch)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def samples(self) -> int:
        """In an epoch, of all ranks together."""
        count = len(self.source)
        return count - count % self.batch if self.drop_last else count

    @property
    def device(self) -> torch.device:
        """Where batches are given out."""
        return self._copies.device

    @property
    def bad(self) -> tuple[BadSample, ...]:
        """The broken samples met so far."""
        return self._bad.list()

    def resume(self, state: LoaderState) -> None:
        """Go on after the samples that `state` counts: the next call of `epoch`, if of that epoch, starts there.

        raises  ConfigError for a state of another seed, whose order this is not, or of another set
        """
        if state.seed != self.state.seed:
            raise ConfigError(
                f"the state is of seed {state.seed}, this loader of {self.state.seed}. Try a loader with that seed."
            )
        if not 0 <= state.samples <= len(self.source):
            raise ConfigError(f"the state has seen {state.samples:,} samples of an epoch of {len(self.source):,}.")
        left = len(self.source) - state.samples
        check_ranks(left, batch=self.batch, rank=self.rank, world_size=self.world_size, drop_last=self.drop_last)
        self.state, self._skip = state, state.samples

    def order(self, epoch: int) -> Order:
        """The samples of an epoch, for all ranks together."""
        if not self.shuffle:
            return np.arange(len(self.source))
        if len(self.source.shards) > 1:
            return shuffled_by_shard(self.source.shards, self.buffer, seed=self.state.seed, epoch=epoch)
        return shuffled(len(self.source), seed=self.state.seed, epoch=epoch)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """(inputs, labels int64 (n,)) on the device, from place `start` of the order on, or where `resume` said.

        `state` counts a batch as soon as it is given out.
        """
        start = start or (self._skip if epoch == self.state.epoch else 0)
        self._skip = 0
        order = self.order(epoch)
        plan = rank_slices(
            len(order),
            batch=self.batch,
            rank=self.rank,
            world_size=self.world_size,
            start=start,
            drop_last=self.drop_last,
        )
        made = self._made_by_workers(order, epoch, plan) if self.workers else self._made_here(order, epoch, plan)
        whole = (batch for batch in made if batch is not None)
        for after, inputs, labels in self._copies.ahead(whole, self._finish):
            self.state = replace(self.state, epoch=epoch, samples=after)
            yield inputs, labels

    def _made_here(self, order: Order, epoch: int, plan: Iterator[tuple[int, slice]]) -> Iterator[HostBatch | None]:
        for after, places in plan:
            yield self._make(order, epoch, after, places)

    def _made_by_workers(
        self, order: Order, epoch: int, plan: Iterator[tuple[int, slice]]
    ) -> Iterator[HostBatch | None]:
        """In order; an error comes where its batch would have come. None: a batch of which nothing is left."""
        # Workers share the cores: torch's own threads within each (a setting of the calling thread) would crowd them.
        pool = ThreadPoolExecutor(self.workers, "rooflight-loader", initializer=torch.set_num_threads, initargs=(1,))
        waiting: deque[Future[HostBatch | None]] = deque()
        try:
            for after, places in plan:
                waiting.append(pool.submit(self._make, order, epoch, after, places))
                if len(waiting) >= self.workers * BATCHES_AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _make(
        self, order: Order, epoch: int, after: int, places: slice, decode: DecodeOn | None = None
    ) -> HostBatch | None:
        """A batch as far as the host makes it. decode: this once, in place of the loader's"""
        self._arena.restart()
        on_gpu = (decode or self.decode) == "gpu"
        take = file_for_device if on_gpu else _decoded
        found = [self._good_sample(order, place, take) for place in range(places.start, places.stop, places.step)]
        good = [pair for pair in found if pair is not None]
        if not good:
            return None
        samples, arrays = zip(*good, strict=True)
        ids = np.array(samples, dtype=np.int64)
        labels = self.source.labels[torch.from_numpy(ids)]
        batch = HostBatch(after=after, epoch=epoch, ids=ids, places=places, inputs=None, labels=labels)
        on_host = self.device.type == "cpu"
        if on_gpu:  # what lies in the arena is written over by the worker's next batch
            files = (array if isinstance(array, bytes) else array.copy() for array in arrays)
            batch = replace(batch, files=tuple(files))
        elif on_host and self.transform is not None:
            batch = replace(batch, inputs=self.augment(ids, epoch, as_images(arrays, self._arena)))
        else:
            inputs, sizes = collate(arrays)
            batch = replace(batch, inputs=inputs, sizes=sizes)
        return batch if on_host else batch.pinned()

    def _finish(self, batch: HostBatch) -> tuple[Tensor, Tensor]:
        """A batch's inputs on the device, and its labels, wherever they are."""
        if batch.inputs is not None:
            moved = batch.inputs.to(self.device, non_blocking=True)
            on_host = self.device.type == "cpu"
            return moved if on_host else self.augment(batch.ids, batch.epoch, moved, batch.sizes), batch.labels
        try:
            images, sizes = decode_files(batch.files, self.source, self.device)
        except BackendError as error:  # nvJPEG does not say which file it is: the host's decoder finds out
            again = self._make(self.order(batch.epoch), batch.epoch, batch.after, batch.places, "workers")
            if again is None:
                raise DataError(f"no file of a batch can be decoded, on the GPU or here ({error}).") from None
            return self._finish(again)
        return self.augment(batch.ids, batch.epoch, images, sizes), batch.labels

    def augment(self, ids: NDArray[np.int64], epoch: int, images: Images, sizes: Tensor | None = None) -> Tensor:
        """The images of these samples, wherever they are, with their draws applied."""
        if self.transform is None:
            assert isinstance(images, Tensor)
            return images
        draws = self.transform.draw(ids, epoch=epoch, seed=self.state.seed)
        return self.transform.apply(images, draws, sizes=sizes)

    def _good_sample(self, order: Order, place: int, take: Take) -> tuple[int, Any] | None:
        """The sample at a place of the order, or what replaces it, or None where nothing shall; as `take` gives it."""
        count = len(order)
        half = place + count // 2
        for candidate in chain([place], range(half, half + count) if self.replace_bad else ()):
            sample = int(order[candidate % count])
            if sample in self._bad:
                continue
            try:
                return sample, take(self.source, sample, self._arena.empty)
            except (DataError, OSError) as error:
                self._bad.add(sample, self.source.name(sample), error)
        return None


def _decoded(source: Source, sample: int, empty: Empty) -> NDArray[Any]:
    return source.decode(source.read(sample), sample, empty)
