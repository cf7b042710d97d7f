"""How fast each stage of a loader runs, and where: measured before training, so that a slow loader has a reason."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rooflight.core.errors import DataError
from rooflight.data.jpeg import jpeg_decoder
from rooflight.data.loader.batch import Arena, as_images, collate
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.on_device import decode_files, file_for_device

MEASURED_SECONDS = 0.5  # for all stages together, about


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRate:
    """One stage, as fast as one worker or the device does it."""

    stage: str  # "read", "decode", "augment", "copy"
    where: str  # "2 workers", "main thread", "cuda:0"
    samples_per_second: float  # of one worker


def measure_rates(loader: Loader) -> tuple[StageRate, ...]:
    """Read, decode, augment and, for a GPU, copy: timed one after another, on samples of the loader's first epoch.

    The first reading fills the system's file cache like any other; from a cold disk an epoch may read slower.
    """
    where = f"{loader.workers} workers" if loader.workers else "main thread"
    device = loader.device
    arena = Arena()
    for _ in range(2):  # the first round finds the memory that the second decodes into, as workers do
        arena.restart()
        arrays, chosen, read_seconds, decode_seconds = _read_and_decode(loader, arena)
    if not chosen:
        return ()
    count = len(chosen)
    rates = [
        StageRate(stage="read", where=where, samples_per_second=count / read_seconds),
        StageRate(stage="decode", where=where, samples_per_second=count / decode_seconds),
    ]
    ids = np.array(chosen, dtype=np.int64)
    if loader.decode == "gpu":
        files = [file_for_device(loader.source, sample, np.empty) for sample in chosen]
        seconds = _seconds(lambda: decode_files(files, loader.source, device), device)
        rates[1] = StageRate(stage="decode", where=str(device), samples_per_second=count / seconds)
        decoded, sizes = decode_files(files, loader.source, device)
        seconds = _seconds(lambda: loader.augment(ids, 0, decoded, sizes), device)
        rates.append(StageRate(stage="augment", where=str(device), samples_per_second=count / seconds))
    elif device.type == "cuda":
        host, sizes = collate(arrays)
        pinned = host.pin_memory()
        seconds = _seconds(lambda: pinned.to(device, non_blocking=True), device)
        rates.append(StageRate(stage="copy", where=str(device), samples_per_second=count / seconds))
        moved = pinned.to(device)
        seconds = _seconds(lambda: loader.augment(ids, 0, moved, sizes), device)
        rates.append(StageRate(stage="augment", where=str(device), samples_per_second=count / seconds))
    elif loader.transform is not None:
        images = as_images(arrays, arena)
        seconds = _seconds(lambda: loader.augment(ids, 0, images), device)
        rates.append(StageRate(stage="augment", where=where, samples_per_second=count / seconds))
    return tuple(rates)


def describe_rates(rates: tuple[StageRate, ...]) -> tuple[str, ...]:
    """Two lines: where each stage runs and how fast one worker does it; what decodes JPEG files, and why."""
    if not rates:
        return ()
    stages = ", ".join(f"{rate.stage} {rate.samples_per_second:,.0f}/s ({rate.where})" for rate in rates)
    decoder, why = jpeg_decoder()
    return (f"loading, one worker alone: {stages}", f"JPEG files by {decoder}: {why}")


def _read_and_decode(loader: Loader, arena: Arena) -> tuple[list[NDArray[Any]], list[int], float, float]:
    """Decoded samples, their numbers, and the seconds that reading and decoding them took."""
    source, arrays, chosen = loader.source, [], []
    read_seconds = decode_seconds = 0.0
    for sample in map(int, loader.order(0)):
        try:
            start = time.perf_counter()
            content = source.read(sample)
            middle = time.perf_counter()
            array = source.decode(content, sample, arena.empty)
        except (DataError, OSError):
            continue  # the loader meets it again, and records it
        read_seconds += middle - start
        decode_seconds += time.perf_counter() - middle
        arrays.append(array)
        chosen.append(sample)
        if read_seconds + decode_seconds > MEASURED_SECONDS or len(chosen) >= loader.batch:
            break
    return arrays, chosen, read_seconds, decode_seconds


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """The faster of two calls: the first one warms up."""
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
