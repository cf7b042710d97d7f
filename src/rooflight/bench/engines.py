"""Which dtypes a device computes natively, on which of its engines, and what each engine could do at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from rooflight.bench.rates import native_dtypes
from rooflight.core.types import Rate

Engine = Literal["vector", "matrix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What the device is held against."""

    rates: tuple[Rate, ...] = ()
    bytes_per_second: float | None = None
    bytes_sure: bool = True  # False: the card is sold with other memory too, or sources differ
    source: str | None = None  # None: no peak is known


def roof_dtypes(device: torch.device) -> tuple[tuple[str, ...], str]:
    """The dtypes that the device's own instructions multiply, double precision and the narrow ones too, and why."""
    native, why = native_dtypes(device)
    if device.type == "cpu":
        has = _cpu_capabilities()
        int8 = next((word for word in ("amx_int8", "avx512_vnni", "avx_vnni") if has.get(word)), None)
        return ("float64", *native, *(("int8",) if int8 else ())), why + (f", int8 by {int8}" if int8 else ", no int8")
    if torch.version.hip:
        target = torch.cuda.get_device_properties(device).gcnArchName
        narrow = ("float8", "int8") if target.startswith(("gfx94", "gfx95", "gfx12")) else ("int8",)
        return ("float64", *native, *narrow), f"{why}, {target}"
    capability = torch.cuda.get_device_capability(device)
    least = {"float8": (8, 9), "int8": (7, 5)}
    return ("float64", *native, *(dtype for dtype, first in least.items() if capability >= first)), why


def vector_dtypes(device: torch.device) -> tuple[str, ...]:
    """The dtypes whose vector units are measured apart from matrix products.

    None on a CPU: there a product of matrices runs on the vector units (AMX apart), and no element-wise kernel of
    PyTorch comes near its rate. Under ROCm bfloat16 is widened to float32, so that it would not be measured.
    """
    if device.type != "cuda":
        return ()
    wide = () if torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0) else ("bfloat16",)
    return ("float64", "float32", "float16", *wide)


def product_engine(device: torch.device, dtype: str, rates: Sequence[Rate]) -> Engine:
    """Which engine a product of matrices runs on: as the peaks say, else by the kind of device."""
    known = {rate.engine for rate in rates if rate.dtype == dtype}
    if known:
        return "matrix" if "matrix" in known else "vector"
    if device.type == "cpu":
        has = _cpu_capabilities()
        tiles = {"bfloat16": "amx_bf16", "float16": "amx_fp16", "int8": "amx_int8"}.get(dtype)
        return "matrix" if tiles and has.get(tiles) else "vector"
    return "vector" if dtype in ("float32", "float64") else "matrix"


def dense_peak(rates: Sequence[Rate], engine: Engine, dtype: str) -> Rate | None:
    """The engine's published rate; where there are several, the one that sums as PyTorch does, in 32 bits or more."""
    found = [rate for rate in rates if rate.engine == engine and rate.dtype == dtype]
    wide = [rate for rate in found if rate.accumulate not in ("float16", "bfloat16")]
    return max(wide or found, key=lambda rate: rate.flops_per_second, default=None)


def _cpu_capabilities() -> Mapping[str, object]:
    return torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
