"""A device's roofline, measured: products by dtype, memory bandwidth, the time to issue an operator."""

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import torch

from rooflight.bench.bandwidth import copy_rate, working_set_bytes
from rooflight.bench.launch import launch_time
from rooflight.bench.products import convolution_rate, matmul_rate
from rooflight.core.types import GpuSpec, Measurement

STEADY = 0.2  # the part of the median that the quartiles of a quiet device stay within


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
    cache_bytes  the last-level cache; bandwidth is measured over four times as much. None: torch's answer;
                 256 MiB at least on a CPU
    observe      is given each measurement as it comes: every figure with its spread and, for products, its shape
    source       of the result names what was unsteady and, on a CPU, the load that other processes made
    raises       ConfigError for a dtype that is unknown, or that the device does not run
    """
    chosen, why = (dtypes, "as asked") if dtypes is not None else native_dtypes(device)
    taken: list[Measurement] = []
    load = f", {load_average()}" if device.type == "cpu" else ""

    def note(measurement: Measurement) -> float:
        taken.append(measurement)
        observe(measurement)
        return measurement.median

    rates, convolutions = {}, {}
    for dtype in chosen:
        product, convolutions[dtype] = note(matmul_rate(device, dtype)), note(convolution_rate(device, dtype))
        rates[dtype] = max(product, convolutions[dtype])  # the roof is the most that was reached
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


def load_average() -> str:
    """The machine's load before the measurement: a neighbour that takes the same share all along hides in no spread."""
    return f"load average {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else "load unknown"


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
