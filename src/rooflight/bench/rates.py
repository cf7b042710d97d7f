"""What a device can do, measured: matrix products by dtype, memory bandwidth, the time to issue one operator."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter

import torch

from rooflight.bench.timing import measure, summarise, synchronise, timed_block
from rooflight.core.errors import ConfigError, nearest
from rooflight.core.types import GpuSpec, Measurement

# By our name: torch's dtype of the operands, and how float32 products are rounded ("ieee": not at all).
DTYPES = {
    "float64": (torch.float64, "ieee"),
    "float32": (torch.float32, "ieee"),
    "tfloat32": (torch.float32, "tf32"),
    "bfloat16": (torch.bfloat16, "ieee"),
    "float16": (torch.float16, "ieee"),
}

CALL_SECONDS = 0.01  # a product of this length hides the time to issue it, and many fit into a second
LARGEST_SIDE = 16384  # 1 GiB per operand in float32
STEADY = 0.2  # the part of the median that the quartiles of a quiet device stay within
CPU_SET_BYTES, CUDA_SET_BYTES = 256 << 20, 1 << 30  # working sets where the size of the last cache is not known


def measure_roof(
    device: torch.device,
    *,
    memory_bytes: int,
    name: str,
    dtypes: tuple[str, ...] | None = None,
    cache_bytes: int | None = None,
    observe: Callable[[Measurement], object] = lambda measurement: None,
) -> GpuSpec:
    """The device's roofline as PyTorch reaches it, in a few seconds. Torch's thread count is taken as it is.

    dtypes       which matrix products; None: those that the device computes natively, which leaves out emulation
    cache_bytes  the last-level cache; bandwidth is measured over four times as much. None: torch's answer, or 64 MiB
    observe      is given each measurement as it comes: every figure with its spread and, for products, its shape
    source       of the result names what was unsteady and, on a CPU, the load that other processes made
    raises       ConfigError for a dtype that is unknown, or that the device does not run
    """
    chosen, why = (dtypes, "as asked") if dtypes is not None else native_dtypes(device)
    taken: list[Measurement] = []
    load = _load(device)

    def note(measurement: Measurement) -> Measurement:
        taken.append(measurement)
        observe(measurement)
        return measurement

    rates = {dtype: note(matmul_rate(device, dtype)).median for dtype in chosen}
    set_bytes = working_set_bytes(device, memory_bytes=memory_bytes, cache_bytes=cache_bytes)
    bandwidth = note(copy_rate(device, set_bytes))
    launch = note(launch_time(device))
    return GpuSpec(
        name=name,
        driver_names=(torch.cuda.get_device_name(device),) if device.type == "cuda" else (),
        memory_bytes=memory_bytes,
        bytes_per_second=bandwidth.median,
        flops_per_second=rates,
        launch_seconds=launch.median,
        source=f"measured by rooflight on {datetime.now(UTC).date()} with torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads{load}; dtypes {why}; bandwidth is a copy's, read + write{unsteady(taken)}",
    )


def _load(device: torch.device) -> str:
    """The machine's load before the measurement: a neighbour that takes the same share all along hides in no spread."""
    if device.type != "cpu" or not hasattr(os, "getloadavg"):
        return ""
    return f", load average {os.getloadavg()[0]:.1f} at the start"


def unsteady(measurements: Iterable[Measurement]) -> str:
    """A warning if the quartiles of some lie further apart than STEADY: the device was shared or changed its clock."""
    names = [each.name for each in measurements if each.high - each.low > STEADY * each.median]
    return f"; unsteady, the device was not idle: {', '.join(names)}" if names else ""


def native_dtypes(device: torch.device) -> tuple[tuple[str, ...], str]:
    """The dtypes whose matrix products the device's own instructions compute, and why these."""
    if device.type == "cuda":
        if torch.version.hip:
            return ("float32", "bfloat16", "float16"), "of ROCm's matrix products"
        major, minor = torch.cuda.get_device_capability(device)
        names = ("float32", "tfloat32", "bfloat16", "float16") if major >= 8 else ("float32", "float16")
        return names, f"of compute capability {major}.{minor}"
    if device.type != "cpu":
        return ("float32", "float16"), f"common to {device.type} devices"
    if not hasattr(torch.cpu, "get_capabilities"):
        return ("float32",), f"torch {torch.__version__} does not tell which others the CPU has"
    has = torch.cpu.get_capabilities()
    native = {
        "bfloat16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
        "float16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
    }
    found = {dtype: [word for word in words if has.get(word)] for dtype, words in native.items()}
    reasons = [f"{dtype} by {words[0]}" if words else f"no {dtype}, it is emulated" for dtype, words in found.items()]
    return ("float32", *(dtype for dtype, words in found.items() if words)), f"native to the CPU ({', '.join(reasons)})"


# ---------------------------------------------------------------- matrix products


def matmul_rate(device: torch.device, dtype: str) -> Measurement:
    """The best FLOP/s of C = A·B over a few shapes, each of about 10 ms; the name tells the best shape, M×K×N.

    A product is 2·M·K·N FLOPs. The operands are normally distributed: zeros draw less power and run faster.
    """
    operand, precision = _operand(dtype, device)
    with _fp32_precision(device, precision):
        shapes = _shapes(_size(device, operand))
        return max((_shape_rate(device, dtype, operand, shape) for shape in shapes), key=lambda rate: rate.median)


def _shape_rate(device: torch.device, name: str, dtype: torch.dtype, shape: tuple[int, int, int]) -> Measurement:
    M, K, N = shape
    return measure(
        _product(device, dtype, shape),
        name=f"matmul {name} {M}×{K}×{N}",
        device=device,
        unit="FLOP/s",
        work_per_call=2 * M * K * N,
    )


def _product(device: torch.device, dtype: torch.dtype, shape: tuple[int, int, int]) -> Callable[[], object]:
    M, K, N = shape
    a, b = torch.randn(M, K, device=device, dtype=dtype), torch.randn(K, N, device=device, dtype=dtype)
    c = torch.empty(M, N, device=device, dtype=dtype)
    return lambda: torch.mm(a, b, out=c)


def _size(device: torch.device, dtype: torch.dtype) -> int:
    """The side of a cube whose product takes about CALL_SECONDS, a multiple of 256 as the kernels like it.

    Larger where small products are slow for another reason than their work: threads that wait for a busy core, or a
    GPU that is not filled.
    """
    side, best_rate, best_side = 256, 0.0, 256
    while True:
        seconds = _probe(device, dtype, side)
        rate = side**3 / seconds
        if rate > 1.5 * best_rate and seconds < 5 * CALL_SECONDS:
            best_rate, best_side = rate, side
        elif seconds >= CALL_SECONDS / 8:
            break
        if side >= LARGEST_SIDE // 2:
            break
        side *= 2
    ideal = side * (CALL_SECONDS / seconds) ** (1 / 3)
    return min(LARGEST_SIDE, max(best_side, int(ideal) // 256 * 256))


def _probe(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Seconds of a cube's product, the least of three: one that another process held up says nothing."""
    run = _product(device, dtype, (side, side, side))
    timed_block(run, 1, device)
    return min(timed_block(run, 1, device) for _ in range(3))


def _shapes(side: int) -> tuple[tuple[int, int, int], ...]:
    """A cube, and the same work with tall and with deep operands."""
    return ((side, side, side), (2 * side, side // 2, side), (side // 2, 2 * side, side))


def _operand(dtype: str, device: torch.device) -> tuple[torch.dtype, str]:
    if dtype not in DTYPES:
        raise ConfigError(f"no matrix product is measured in {dtype!r}.{nearest(dtype, DTYPES)}")
    if dtype == "tfloat32" and device.type != "cuda":
        raise ConfigError(f"tfloat32 is a mode of NVIDIA's Tensor Cores; {device} has none. Try float32.")
    return DTYPES[dtype]


@contextmanager
def _fp32_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Round the operands of float32 products as asked while the body runs, then as before."""
    backend = torch.backends.cuda.matmul if device.type == "cuda" else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = backend.fp32_precision
    backend.fp32_precision = precision
    try:
        yield
    finally:
        backend.fp32_precision = before


# ---------------------------------------------------------------- memory and launches


def copy_rate(device: torch.device, set_bytes: int) -> Measurement:
    """Sustained bytes per second of a copy, read + write, over a working set of two halves.

    A CPU may also read each line before it writes it; as usual since STREAM, that is not counted.
    """
    count = max(1, set_bytes // 2 // 4)
    source = torch.arange(count, dtype=torch.float32, device=device).sin_()  # filled in parallel, and no zeros
    target = torch.empty_like(source)
    return measure(
        lambda: target.copy_(source),
        name="copy, read + write",
        device=device,
        unit="B/s",
        work_per_call=2 * source.nbytes,
    )


def working_set_bytes(device: torch.device, *, memory_bytes: int, cache_bytes: int | None) -> int:
    """Four times the last-level cache, so that the memory is measured and not the cache; at most 1/8 of the memory."""
    if device.type == "cuda":
        cache = cache_bytes or torch.cuda.get_device_properties(device).L2_cache_size
        wanted = max(CUDA_SET_BYTES, 4 * cache)
    else:
        wanted = 4 * cache_bytes if cache_bytes else CPU_SET_BYTES
    return min(wanted, memory_bytes // 8)


def launch_time(device: torch.device, *, blocks: int = 11, calls: int = 500) -> Measurement:
    """Host seconds to issue one small operator from Python, an addition of two numbers without autograd.

    On a GPU only the issuing is timed: a block is short enough for the queue to take it without waiting. On a CPU
    the operator has also been computed by then.
    """
    x, y = torch.ones(1, device=device), torch.ones(1, device=device)
    seconds = []
    with torch.inference_mode():
        for _ in range(blocks + 1):
            start = perf_counter()
            for _ in range(calls):
                torch.add(x, y)
            seconds.append((perf_counter() - start) / calls)
            synchronise(device)
    return summarise(seconds[1:], name="issue one operator", unit="s")  # the first block warms up
