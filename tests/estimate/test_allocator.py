"""The caching allocator: rounding, segments, reuse, and what happens when memory is short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.estimate.allocator import MIB, Allocator, play

Blocks = list[tuple[int, int, int]]


def test_a_small_block_is_rounded_to_512_bytes_and_takes_a_segment_of_2_mib() -> None:
    found = play([(1, 0, 0)], [0])
    assert (found.allocated_bytes, found.reserved_bytes) == (512, 2 * MIB)


def test_a_block_below_10_mib_takes_a_segment_of_20_mib_which_others_share() -> None:
    found = play([(6 * MIB, 0, 0), (6 * MIB, 0, 0), (6 * MIB, 0, 0)], [0])
    assert (found.allocated_bytes, found.reserved_bytes) == (18 * MIB, 20 * MIB)


def test_a_large_block_takes_its_own_segment_rounded_to_2_mib() -> None:
    assert play([(11 * MIB + 1, 0, 0)], [0]).reserved_bytes == 12 * MIB


def test_what_was_freed_is_used_again() -> None:
    found = play([(64 * MIB, 0, 0), (64 * MIB, 1, 1)], [0, 0])
    assert (found.allocated_bytes, found.reserved_bytes) == (64 * MIB, 64 * MIB)


def test_free_neighbours_join() -> None:
    allocator = Allocator(limit_bytes=100 * MIB)
    blocks = [allocator.allocate(5 * MIB) for _ in range(4)]  # 20 MiB, one segment
    for block in blocks:
        assert block is not None
        allocator.free(block)
    assert allocator.allocate(9 * MIB) is not None
    assert allocator.reserved == 20 * MIB


def test_pieces_too_small_for_what_comes_need_a_new_segment() -> None:
    # 40 MiB are free afterwards in two pieces; 30 MiB in one do not fit into either
    found = play([(20 * MIB, 0, 0), (20 * MIB, 0, 0), (30 * MIB, 1, 1)], [0, 0])
    assert found.reserved_bytes == 70 * MIB


def test_free_segments_are_given_back_before_a_request_fails() -> None:
    found = play([(20 * MIB, 0, 0), (20 * MIB, 0, 0), (30 * MIB, 1, 1)], [0, 0], limit_bytes=45 * MIB)
    assert found.fits


def test_more_than_there_is_does_not_fit() -> None:
    assert not play([(30 * MIB, 0, 0), (30 * MIB, 0, 0)], [0], limit_bytes=45 * MIB).fits


def test_a_workspace_lives_while_its_operator_runs() -> None:
    assert play([(20 * MIB, 0, 1)], [0, 30 * MIB]).allocated_bytes == 50 * MIB


blocks = st.lists(
    st.tuples(st.integers(1, 50 * MIB), st.integers(0, 9), st.integers(0, 9)).map(
        lambda block: (block[0], min(block[1:]), max(block[1:]))
    ),
    max_size=30,
)


@given(found=blocks)
def test_reserved_holds_allocated_which_holds_what_is_alive(found: Blocks) -> None:
    reserved = play(found, [0] * 10)
    alive = max(sum(size for size, first, last in found if first <= op <= last) for op in range(10))
    assert alive <= reserved.allocated_bytes <= reserved.reserved_bytes


@given(found=blocks, scale=st.integers(1, 4))
def test_larger_blocks_never_allocate_less(found: Blocks, scale: int) -> None:
    larger = [(size * scale, first, last) for size, first, last in found]
    assert play(larger, [0] * 10).allocated_bytes >= play(found, [0] * 10).allocated_bytes * (1 - 1e-9)


def test_what_is_freed_twice_is_an_error() -> None:
    allocator = Allocator(limit_bytes=float("inf"))
    block = allocator.allocate(10)
    assert block is not None
    allocator.free(block)
    assert allocator.allocated == 0
    with pytest.raises(TypeError):
        allocator.free(None)  # type: ignore[arg-type]
