"""Copies and triads: how many bytes they count, what they compute, and how large they are."""

import pytest
import torch

from rooflight.bench import bandwidth

CPU = torch.device("cpu")


def test_a_copy_counts_read_and_write() -> None:
    load = bandwidth.copy_load(CPU, 8000)
    copy = load.run()
    assert isinstance(copy, torch.Tensor)
    assert (load.unit, load.work) == ("B/s", 8000)  # 4000 bytes read and 4000 written
    assert copy.nbytes == 4000
    assert torch.count_nonzero(copy) == 999  # all but sin(0)


def test_a_triad_counts_two_reads_and_a_write_as_stream_does() -> None:
    load = bandwidth.triad_load(CPU, 12000)
    a = load.run()
    assert isinstance(a, torch.Tensor)
    b = torch.arange(1000, dtype=torch.float32).sin()
    assert torch.equal(a, b + 3.0 * b)
    assert load.work == 3 * 4000


def test_the_working_set_is_past_the_cache_and_within_the_memory() -> None:
    def size(memory_bytes: int, cache_bytes: int | None) -> int:
        return bandwidth.working_set_bytes(CPU, memory_bytes=memory_bytes, cache_bytes=cache_bytes)

    assert size(1 << 40, 384 << 20) == 4 * (384 << 20)
    assert size(1 << 40, None) == 256 << 20
    assert size(1 << 30, 384 << 20) == 1 << 27


def test_the_set_for_a_cache_is_half_of_it() -> None:
    assert bandwidth.cache_set_bytes(CPU, 32 << 20) == 16 << 20
    assert bandwidth.cache_set_bytes(CPU, None) is None
    assert bandwidth.cache_load(CPU, 1 << 20).work == 1 << 20


@pytest.mark.gpu
def test_a_copy_on_a_gpu_reaches_what_its_memory_copy_engine_does() -> None:
    """At least nine tenths of the best of three ways to copy that PyTorch has."""
    from rooflight.bench.timing import Load, measure_load

    device = torch.device("cuda", torch.cuda.current_device())
    ours = measure_load(bandwidth.copy_load(device, 4 << 30), device).median
    source = torch.randn(1 << 29, device=device)
    target = torch.empty_like(source)
    ways = (
        lambda: torch.add(source, 0.0, out=target),
        lambda: source.clone(),
        lambda: torch.mul(source, 1.0, out=target),
    )
    best = max(
        measure_load(Load(name="copy", unit="B/s", work=2 * source.nbytes, run=way), device).median for way in ways
    )
    assert ours > 0.9 * best


@pytest.mark.gpu
def test_the_cache_of_a_gpu_is_faster_than_its_memory() -> None:
    from rooflight.bench.timing import measure_load

    device = torch.device("cuda", torch.cuda.current_device())
    inside = bandwidth.cache_set_bytes(device, None)
    assert inside is not None
    cache = measure_load(bandwidth.cache_load(device, inside), device).median
    memory = measure_load(bandwidth.copy_load(device, 4 << 30), device).median
    assert memory < cache < 50 * memory
