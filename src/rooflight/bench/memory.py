"""The most bytes of tensors that a callable keeps alive at once."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch.autograd.profiler import profile, record_function

from rooflight.core.errors import BackendError

MARK = "rooflight: peak_tensor_bytes"


def peak_tensor_bytes(run: Callable[[], object], device: torch.device, *, warm_up: int = 0) -> int:
    """The largest number of bytes of tensors alive at once during run(), above what was alive before it.

    warm_up  calls of run() before the one that counts, whose leavings (gradients, optimizer state) then count as
             alive before
    CUDA     from the caching allocator, in its blocks of 512 bytes
    CPU      from the allocations and frees that PyTorch's profiler records, to the byte. What MKL and oneDNN allocate
             for themselves is not seen; nor is the freeing of a tensor made before this function was called, so
             that the answer is too large if run() frees such tensors before its peak. A warm-up call cures that.
    raises   BackendError on other devices
    """
    if device.type == "cuda":
        return _cuda_peak(run, device, warm_up)
    if device.type == "cpu":
        return _cpu_peak(run, warm_up)
    raise BackendError(f"peak memory is known on cpu and cuda devices; {device.type!r} was asked.")


def _cuda_peak(run: Callable[[], object], device: torch.device, warm_up: int) -> int:
    for _ in range(warm_up):
        run()
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_peak(run: Callable[[], object], warm_up: int) -> int:
    # The profiler watches the warm-up too: what those calls leave behind is known when the last one frees it.
    with _quiet_kineto(), profile(profile_memory=True) as profiler:
        for _ in range(warm_up):
            run()
        with record_function(MARK):
            run()
    assert profiler.kineto_results is not None
    events = sorted(profiler.kineto_results.events(), key=lambda event: event.start_ns())
    start, end = next((event.start_ns(), event.end_ns()) for event in events if event.name() == MARK)
    return peak(event.nbytes() for event in events if event.name() == "[memory]" and start <= event.start_ns() <= end)


def peak(changes: Iterable[int]) -> int:
    """The highest sum on the way, from zero: bytes allocated (positive) and freed (negative), in order."""
    return max(accumulate(changes, initial=0))


@contextmanager
def _quiet_kineto() -> Iterator[None]:
    """Keep the profiler's library from reporting its start, its stop and a missing GPU on stderr.

    It reads the variable once, when a process first profiles; a level that the user has set stays.
    """
    variable = "KINETO_LOG_LEVEL"
    if variable in os.environ:
        yield
        return
    os.environ[variable] = "99"
    try:
        yield
    finally:
        del os.environ[variable]
