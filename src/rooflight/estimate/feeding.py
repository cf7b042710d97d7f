"""What feeds a step: the loader's cores, the copy to the device, augmentation on it. The slowest sets the pace."""

from dataclasses import dataclass
from math import prod

from rooflight.core.types import Fed, Feed, GpuSpec, Trace
from rooflight.estimate.fabric import fabric
from rooflight.estimate.parallel import COPY_SHARE
from rooflight.estimate.table import ITEM_BYTES

TOKEN_BYTES = 8  # int64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample on its way: bytes that are copied to the device, and that augmenting it there moves."""

    copied_bytes: float
    augmented_bytes: float


def sample_of(trace: Trace) -> Sample:
    """Images and clips are copied as bytes; on the device they are read once and written once in the step's dtype."""
    work = trace.workload
    elements = prod(work.input_shape)
    if len(work.input_shape) < 3:
        return Sample(copied_bytes=TOKEN_BYTES * elements, augmented_bytes=0.0)
    return Sample(copied_bytes=elements, augmented_bytes=elements * (1 + ITEM_BYTES.get(work.dtype, 4)))


def fed(feed: Feed, sample: Sample, spec: GpuSpec, *, gpus: int, samples: float, seconds: float) -> tuple[float, Fed]:
    """Seconds of a step that is fed while the one before it runs, and what each stage could do.

    samples   of the step, on all its GPUs; seconds: that the GPUs take for them
    """
    machines = -(-gpus // fabric(spec).node)
    of_one = samples / gpus
    augmenting = of_one * sample.augmented_bytes / spec.bytes_per_second
    link = _host_link(spec)
    copying = None if link is None else of_one * sample.copied_bytes / (COPY_SHARE * link)
    loading = samples / (machines * feed.samples_per_second)
    whole = max(seconds + augmenting, loading, copying or 0.0)
    return whole, Fed(
        loader_samples_per_second=samples / loading,
        copy_samples_per_second=samples / copying if copying else None,
        gpu_samples_per_second=samples / (seconds + augmenting),
        machines=machines,
    )


def most_fed(stages: Fed) -> float:
    """Samples per second that loader and copy let through."""
    copied = stages.copy_samples_per_second
    return stages.loader_samples_per_second if copied is None else min(stages.loader_samples_per_second, copied)


def _host_link(spec: GpuSpec) -> float | None:
    """Bytes per second from the host's memory, as published; None: no link is named, or the memory is the host's."""
    if spec.unified_memory:
        return None
    return max((link.bytes_per_second for link in spec.links if link.devices is None), default=None)
