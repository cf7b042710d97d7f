"""PyTorch's caching allocator, played through: what a step reserves when its blocks come and go in their order.

source  c10/cuda/CUDACachingAllocator.cpp: blocks are rounded up to 512 bytes; those of at most 1 MiB are cut from
        segments of 2 MiB; those below 10 MiB from segments of 20 MiB; larger ones get a segment of their own, rounded
        up to 2 MiB. A free block serves a request by best fit, and what is left over is split off. When the device has
        no room for a new segment, segments that are free as a whole are given back first.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

KIB, MIB = 2**10, 2**20
ROUNDING = 512
SMALL, SMALL_SEGMENT = 1 * MIB, 2 * MIB
LARGE, LARGE_SEGMENT = 10 * MIB, 20 * MIB
SEGMENT_ROUNDING = 2 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What playing a step through came to. fits: every block found room below the limit."""

    fits: bool
    allocated_bytes: int  # at the peak, rounded blocks: torch.cuda.max_memory_allocated
    reserved_bytes: int  # segments at their peak: torch.cuda.max_memory_reserved


@dataclass(slots=True, eq=False)
class _Segment:
    size: int
    small: bool
    free: list[tuple[int, int]] = field(default_factory=list)  # (start, size), by start


@dataclass(slots=True)
class Allocator:
    """The state: segments, and their free pieces by size. limit_bytes is what the device has for segments."""

    limit_bytes: float
    allocated: int = 0
    reserved: int = 0
    most_allocated: int = 0
    most_reserved: int = 0
    _pieces: dict[bool, list[tuple[int, int, int]]] = field(default_factory=lambda: {True: [], False: []})
    _segments: dict[int, _Segment] = field(default_factory=dict)
    _made: int = 0

    def allocate(self, size: int) -> tuple[int, int, int] | None:
        """A block (segment, start, rounded size); None if there is no room."""
        size = max(ROUNDING, -(-size // ROUNDING) * ROUNDING)
        small = size <= SMALL
        pieces = self._pieces[small]
        at = bisect_left(pieces, (size, -1, -1))
        if at == len(pieces):
            if not self._grow(size, small):
                return None
            at = bisect_left(pieces, (size, -1, -1))
        found, segment, start = pieces.pop(at)
        rest = found - size
        self._segments[segment].free.remove((start, found))
        # A large piece is only split if what is left is worth keeping.
        if rest >= (ROUNDING if small else SMALL + 1):
            self._add(segment, start + size, rest)
        else:
            size = found
        self.allocated += size
        self.most_allocated = max(self.most_allocated, self.allocated)
        return segment, start, size

    def free(self, block: tuple[int, int, int]) -> None:
        """Give a block back, joined with its free neighbours."""
        segment, start, size = block
        self.allocated -= size
        free = self._segments[segment].free
        at = bisect_left(free, (start, 0))
        if at < len(free) and free[at][0] == start + size:
            size += free[at][1]
            self._drop(segment, free[at])
        if at > 0 and sum(free[at - 1]) == start:
            before = free[at - 1]
            start, size = before[0], size + before[1]
            self._drop(segment, before)
        self._add(segment, start, size)

    def _grow(self, size: int, small: bool) -> bool:
        if small:
            wanted = SMALL_SEGMENT
        elif size < LARGE:
            wanted = LARGE_SEGMENT
        else:
            wanted = -(-size // SEGMENT_ROUNDING) * SEGMENT_ROUNDING
        if self.reserved + wanted > self.limit_bytes:
            self._release()
        if self.reserved + wanted > self.limit_bytes:
            return False
        self._made += 1
        self._segments[self._made] = _Segment(size=wanted, small=small)
        self._add(self._made, 0, wanted)
        self.reserved += wanted
        self.most_reserved = max(self.most_reserved, self.reserved)
        return True

    def _release(self) -> None:
        for number, segment in list(self._segments.items()):
            if segment.free and segment.free[0][1] == segment.size:
                self._drop(number, segment.free[0])
                self.reserved -= segment.size
                del self._segments[number]

    def _add(self, number: int, start: int, size: int) -> None:
        segment = self._segments[number]
        insort(segment.free, (start, size))
        insort(self._pieces[segment.small], (size, number, start))

    def _drop(self, number: int, piece: tuple[int, int]) -> None:
        segment = self._segments[number]
        segment.free.remove(piece)
        pieces = self._pieces[segment.small]
        pieces.pop(bisect_left(pieces, (piece[1], number, piece[0])))


def play(
    blocks: Sequence[tuple[int, int, int]], workspaces: Iterable[int], limit_bytes: float = float("inf")
) -> Reserved:
    """Play (bytes, first operator, last operator) of every block through, in their order.

    workspaces   bytes that each operator takes for itself while it runs
    """
    needs = list(workspaces)
    begin: list[list[int]] = [[] for _ in needs]
    end: list[list[int]] = [[] for _ in needs]
    for index, (size, first, last) in enumerate(blocks):
        if size > 0:
            begin[first].append(index)
            end[last].append(index)
    allocator = Allocator(limit_bytes=limit_bytes)
    held: dict[int, tuple[int, int, int]] = {}
    for op, workspace in enumerate(needs):
        for index in begin[op]:
            block = allocator.allocate(blocks[index][0])
            if block is None:
                return _reserved(allocator, fits=False)
            held[index] = block
        if workspace > 0:
            scratch = allocator.allocate(workspace)
            if scratch is None:
                return _reserved(allocator, fits=False)
            allocator.free(scratch)
        for index in end[op]:
            allocator.free(held.pop(index))
    return _reserved(allocator, fits=True)


def _reserved(allocator: Allocator, *, fits: bool) -> Reserved:
    return Reserved(fits=fits, allocated_bytes=allocator.most_allocated, reserved_bytes=allocator.most_reserved)
