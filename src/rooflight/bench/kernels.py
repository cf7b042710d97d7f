"""Two Triton kernels that measure what no library call isolates: the vector units of a GPU, and its last cache.

Importing this file needs Triton, which PyTorch brings along on Linux with CUDA or ROCm.
"""

import torch
import triton
import triton.language as tl

from rooflight.bench.timing import Load, timed_block

CHAINS, UNROLL, LANES = 4, 8, 1024  # independent sums of a lane, steps of the loop's body, lanes of a program
PROGRAMS_PER_UNIT = 32  # four rounds of eight programs on each SM or CU
CALL_SECONDS = 0.01
CHUNK = 4096  # float32 numbers that a program reads at a time
READS = 64  # of the whole working set in one call

TRITON_DTYPES = {
    torch.float64: tl.float64,
    torch.float32: tl.float32,
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
}


@triton.jit  # type: ignore[untyped-decorator]
def fma_chain(out, steps, unroll: tl.constexpr, lanes: tl.constexpr, dtype: tl.constexpr):  # type: ignore[no-untyped-def]
    """x ← x·x + c, four chains in the registers of each lane.

    With −1.9 ≤ c ≤ −1.5 the map is chaotic and stays within ±1.9: the operands never settle, as the power that a unit
    draws depends on the bits that change.
    """
    lane = tl.arange(0, lanes)
    c = (-1.5 - (lane % 64) * 0.00625).to(dtype)
    w = ((lane % 7) * 0.01).to(dtype)
    x = ((lane % 5) * 0.02).to(dtype)
    y = ((lane % 11) * 0.03).to(dtype)
    z = ((lane % 13) * 0.04).to(dtype)
    for _ in range(steps):
        for _ in tl.static_range(unroll):
            w = tl.fma(w, w, c)
            x = tl.fma(x, x, c)
            y = tl.fma(y, y, c)
            z = tl.fma(z, z, c)
    tl.store(out + tl.program_id(0) * lanes + lane, (w + x) + (y + z))


@triton.jit  # type: ignore[untyped-decorator]
def read_again(source, sums, chunks, reads, size: tl.constexpr):  # type: ignore[no-untyped-def]
    """Each program sums as many chunks as there are reads, another one each time: together they read all of them.

    ".cg" keeps the chunks out of the L1 caches.
    """
    lane = tl.arange(0, size)
    program = tl.program_id(0)
    total = tl.full((size,), 0.0, tl.float32)
    for read in range(reads):
        chunk = (program + read) % chunks
        total += tl.load(source + chunk * size + lane, cache_modifier=".cg")
    tl.store(sums + program * size + lane, total)


def fma_load(device: torch.device, dtype: torch.dtype, name: str) -> Load:
    """Fused multiply-adds of the vector units, sums in the same dtype, 2 FLOPs each; about 10 ms a call."""
    programs = PROGRAMS_PER_UNIT * torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.empty(programs * LANES, dtype=dtype, device=device)

    def launch(steps: int) -> None:
        fma_chain[(programs,)](out, steps, unroll=UNROLL, lanes=LANES, dtype=TRITON_DTYPES[dtype])

    launch(64)  # compiles
    seconds = timed_block(lambda: launch(64), 1, device)
    steps = max(64, int(64 * CALL_SECONDS / seconds))
    return Load(name=name, unit="FLOP/s", work=fma_flops(programs, steps), run=lambda: launch(steps))


def fma_flops(programs: int, steps: int) -> int:
    """A fused multiply-add is 2."""
    return 2 * programs * LANES * CHAINS * UNROLL * steps


def read_load(device: torch.device, set_bytes: int) -> Load:
    """The working set, read READS times in one call."""
    chunks = max(1, set_bytes // 4 // CHUNK)
    source = torch.randn(chunks * CHUNK, device=device)
    sums = torch.empty_like(source)

    def run() -> None:
        read_again[(chunks,)](source, sums, chunks, READS, size=CHUNK)

    return Load(name="read, again and again", unit="B/s", work=READS * source.nbytes, run=run)
