"""What one vendor's driver tells of its GPUs."""

from dataclasses import dataclass

from rooflight.core.types import Gpu


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGpus:
    """The GPUs that a driver tells of, and what it would not tell."""

    gpus: tuple[Gpu, ...] = ()
    cuda_driver_version: str | None = None  # the newest CUDA that NVIDIA's driver speaks
    notes: tuple[str, ...] = ()
