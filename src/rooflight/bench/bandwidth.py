"""Bandwidth of a device's memory and of its last cache."""

from dataclasses import replace

import torch

from rooflight.bench.timing import Load, measure_load
from rooflight.core.types import Measurement

# Working sets where the size of the last cache is not known.
CPU_SET_BYTES, CUDA_SET_BYTES = 256 << 20, 1 << 30


def copy_rate(device: torch.device, set_bytes: int) -> Measurement:
    """Bytes per second of a copy over a working set of two halves; see copy_load."""
    return measure_load(copy_load(device, set_bytes), device)


def copy_load(device: torch.device, set_bytes: int) -> Load:
    """a = b over a working set of two halves, read + write.

    A CPU may also read each line before it writes it; as usual since STREAM, that is not counted.
    """
    source = _random(set_bytes // 2, device)
    target = torch.empty_like(source)
    return Load(name="copy, read + write", unit="B/s", work=2 * source.nbytes, run=lambda: target.copy_(source))


def triad_load(device: torch.device, set_bytes: int) -> Load:
    """a = b + s·c over a working set of three parts: two are read, one is written, as STREAM counts."""
    b, c = _random(set_bytes // 3, device), _random(set_bytes // 3, device)
    a = torch.empty_like(b)
    return Load(
        name="triad, 2 reads + write", unit="B/s", work=3 * a.nbytes, run=lambda: torch.add(b, c, alpha=3.0, out=a)
    )


def cache_load(device: torch.device, set_bytes: int) -> Load:
    """What tells a cache's bandwidth: a copy on a CPU; on a GPU a kernel that reads the set again and again.

    A GPU copies what fits into its cache in less time than it takes to issue the copy.
    """
    if device.type != "cuda":
        return replace(copy_load(device, set_bytes), name="copy, read + write, cached")
    from rooflight.bench.kernels import read_load

    return read_load(device, set_bytes)


def cache_set_bytes(device: torch.device, cache_bytes: int | None) -> int | None:
    """Half of the last cache, so that the working set stays in it; None if its size is not known."""
    cache = cache_bytes or _l2_bytes(device)
    return cache // 2 if cache else None


def working_set_bytes(device: torch.device, *, memory_bytes: int, cache_bytes: int | None) -> int:
    """Four times the last-level cache, so that the memory is measured and not the cache; at most 1/8 of the memory."""
    cache = cache_bytes or _l2_bytes(device)
    wanted = 4 * cache if cache else CPU_SET_BYTES
    if device.type == "cuda":
        wanted = max(wanted, CUDA_SET_BYTES)
    return min(wanted, memory_bytes // 8)


def _l2_bytes(device: torch.device) -> int | None:
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).L2_cache_size or None


def _random(nbytes: int, device: torch.device) -> torch.Tensor:
    """float32 numbers that differ from each other; filled in parallel, so that each thread touches its part first."""
    return torch.arange(max(1, nbytes // 4), dtype=torch.float32, device=device).sin_()
