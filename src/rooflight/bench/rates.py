"""A device's roofline, measured: products by dtype, memory bandwidth, the time to issue an operator."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rooflight.bench.products import convolution_rate, matmul_rate
from rooflight.bench.timing import measure, summarise, synchronise
from rooflight.core.types import GpuSpec, Measurement

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

    def note(measurement: Measurement) -> float:
        taken.append(measurement)
        observe(measurement)
        return measurement.median

    rates, convolutions = {}, {}
    for dtype in chosen:
        rates[dtype] = note(matmul_rate(device, dtype))
        convolutions[dtype] = note(convolution_rate(device, dtype))
    bandwidth = note(copy_rate(device, working_set_bytes(device, memory_bytes=memory_bytes, cache_bytes=cache_bytes)))
    launch = note(launch_time(device))
    return GpuSpec(
        name=name,
        driver_names=(torch.cuda.get_device_name(device),) if device.type == "cuda" else (),
        memory_bytes=memory_bytes,
        bytes_per_second=bandwidth,
        flops_per_second=rates,
        kind_flops_per_second={"convolution": convolutions},
        launch_seconds=launch,
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


def launch_time(device: torch.device, *, blocks: int = 11, calls: int = 20) -> Measurement:
    """Host seconds for each operator of a training step whose tensors are as good as empty.

    Autograd and Python are part of it: eight small dense layers go forward, backward and through a fused optimizer,
    and the time is divided by the operators that were dispatched, views left out as a trace leaves them out. On a GPU
    only the issuing is timed: a block is short enough for the queue to take it without waiting.
    """
    layers = [layer for _ in range(8) for layer in (nn.Linear(4, 4), nn.ReLU())]
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x = torch.ones(4, 4, device=device)

    def step() -> None:
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()  # the optimizer's state is made in the first step
    with _Dispatched() as dispatched:  # type: ignore[no-untyped-call]
        step()
    seconds = []
    for _ in range(blocks + 1):
        start = perf_counter()
        for _ in range(calls):
            step()
        seconds.append((perf_counter() - start) / (calls * dispatched.count))
        synchronise(device)
    return summarise(seconds[1:], name="issue one operator of a training step", unit="s")  # the first block warms up


class _Dispatched(TorchDispatchMode):
    """Counts the operators that reach the device's kernels."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))
