"""Where JPEG files are decoded, by workers or by the GPU: both are tried on real samples, and the faster is taken."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from rooflight.core.errors import BackendError, ConfigError
from rooflight.data.loader.loader import Loader
from rooflight.data.loader.on_device import DecodeOn

MEASURED_BATCHES = 6  # after a first one that warms up


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where files are decoded, and why."""

    decode: DecodeOn
    reason: str
    samples_per_second: Mapping[DecodeOn, float] = field(default_factory=dict)  # end to end, where it was measured


def choose_placement(
    asked: Literal["auto", "workers", "gpu"],
    make: Callable[[DecodeOn], Loader],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Placement:
    """The faster placement end to end: read, decoded, augmented and on the device.

    make    a loader that decodes there, to be thrown away
    raises  ConfigError where a GPU is asked for and there is none, BackendError where nothing decodes on it
    """
    if device.type != "cuda":
        if asked == "gpu":
            raise ConfigError(
                f"--decode gpu: this run is on {device}, and nvJPEG needs an NVIDIA GPU. Try --decode auto."
            )
        return Placement(decode="workers", reason="workers decode: there is no NVIDIA GPU that could")
    if asked == "workers":
        return Placement(decode="workers", reason="workers decode: as asked")
    if asked == "gpu":
        make("gpu")  # refuses what cannot be
        return Placement(decode="gpu", reason=f"{device} decodes JPEG files, workers the others: as asked")
    return faster_placement(make, device, clock)


def faster_placement(
    make: Callable[[DecodeOn], Loader], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> Placement:
    """Both placements measured. One that cannot be is said."""
    try:
        on_gpu = make("gpu")
    except (BackendError, ConfigError) as error:
        return Placement(decode="workers", reason=f"workers decode: {error}")
    rates: dict[DecodeOn, float] = {
        "workers": end_to_end_rate(make("workers"), clock),
        "gpu": end_to_end_rate(on_gpu, clock),
    }
    best = max(rates, key=rates.__getitem__)
    if not rates[best]:
        return Placement(decode="workers", reason="workers decode: the set is too small to compare")
    who = "workers decode" if best == "workers" else f"{device} decodes JPEG files, workers the others"
    reason = f"{who}: the faster end to end, workers {rates['workers']:,.0f} and {device} {rates['gpu']:,.0f} images/s"
    return Placement(decode=best, reason=reason, samples_per_second=rates)


def end_to_end_rate(loader: Loader, clock: Callable[[], float] = time.perf_counter) -> float:
    """Samples per second of a few batches, after the first; 0 where there is no second batch."""
    batches = loader.epoch(0)
    try:
        if next(batches, None) is None:
            return 0.0
        _wait(loader.device)
        begin, count = clock(), 0
        for _ in range(MEASURED_BATCHES):
            batch = next(batches, None)
            if batch is None:
                break
            count += len(batch[1])
        _wait(loader.device)
        return count / (clock() - begin) if count else 0.0
    finally:
        batches.close()  # type: ignore[attr-defined]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
