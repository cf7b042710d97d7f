"""What kernels see of a data sheet: rates by engine, caches, clocks. One place for the facts of architectures."""

from dataclasses import dataclass
from math import inf

from rooflight.core.errors import SpecError
from rooflight.core.types import GpuSpec
from rooflight.estimate.shares import Shares

# Bytes that one unit's port to L2 moves per clock, by vendor; Jia et al., "Dissecting the NVIDIA Volta GPU Architecture
# via Microbenchmarking", arXiv 1804.06826, and "Dissecting the Ampere GPU Architecture through Microbenchmarking", GTC
# 2021, for NVIDIA; AMD, "RDNA" whitepaper, 2019, and "CDNA 3" whitepaper, 2023, for AMD.
L2_BYTES_PER_CLOCK = 64.0

# L2 where a data sheet does not say; a small one, so that no reuse is claimed that may not be there.
SMALL_L2_BYTES = 2 * 2**20

# What a matrix product of a dtype may run in, best first, when the device has no rate for the dtype itself: its values
# are widened on the way in and the sums are float32 (cuBLAS and cuDNN do so for float16 on Pascal).
WIDER = {"tfloat32": ("float32",), "bfloat16": ("float32",), "float16": ("float32",), "float8": ("float16", "float32")}

# RDNA 3's published vector rate counts two instructions issued at once, which compiled kernels hardly find.
DUAL_ISSUE = 0.5

# Joules per float16 FLOP of the matrix engines, sums in float32, at the published clock, by what kernels are compiled
# for. Approximate: from cards known to hold their clock within their TDP and cards known not to (a T4 falls to some
# 1,000 MHz: Jia et al., arXiv 1903.07486; an L40S reaches 82 % of its peak, an H100 97 %, a B200 93 %, an RTX PRO 6000
# 91 to 98 %: best products of aiconfigurator-core 0.12). Other dtypes do fewer FLOPs at the same draw.
MATRIX_JOULES = {
    "7.0": 2.0e-12, "7.5": 2.0e-12, "8.0": 1.05e-12, "8.6": 1.7e-12, "8.9": 1.05e-12, "9.0": 0.55e-12,
    "10.0": 0.36e-12, "10.3": 0.36e-12, "12.0": 1.0e-12, "gfx942": 1.1e-12, "gfx950": 0.55e-12,
}  # fmt: skip
LANES_JOULES = {"6.0": 16e-12, "6.1": 16e-12, "7.0": 10e-12, "7.5": 10e-12, "8.6": 6e-12, "8.9": 3.5e-12}  # of float32
FOR_ARITHMETIC = 0.85  # of the TDP: memory and board take the rest, and some watts whatever the card is
BOARD_WATTS = 10.0

# Where half of the float32 lanes also do the integers: NVIDIA, "GA102 GPU Architecture" whitepaper, 2020.
SHARED_LANES = ("8.6", "8.7", "8.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU as its kernels meet it, with the clock that it holds under load."""

    name: str
    spec: GpuSpec
    units: float
    clock_hz: float
    bytes_per_second: float  # device memory, theoretical
    l2_bytes: float
    l2_bytes_per_second: float
    cache_bytes: float  # the largest cache before device memory
    cache_bytes_per_second: float
    headroom: float  # clock under load over the published one


def device(spec: GpuSpec, shares: Shares) -> Device:
    """The device behind a data sheet.

    raises  SpecError if the sheet says neither units nor clock: tiles cannot be counted then
    """
    if spec.units is None or spec.clock_hz is None:
        raise SpecError(f"{spec.name} has no published {'units' if spec.units is None else 'clock'}.")
    # A card with a fan of its own runs above the published boost clock; a laptop's power limit holds it there.
    boosts = spec.family in ("GeForce", "TITAN") and spec.form_factor != "laptop"
    headroom = shares["geforce_clock"] if boosts else 1.0
    clock = spec.clock_hz * headroom
    l2_rate = spec.units * L2_BYTES_PER_CLOCK * clock * shares["l2"]
    l2_bytes = float(spec.l2_bytes or SMALL_L2_BYTES)
    behind = spec.last_level_bytes
    return Device(
        name=spec.name,
        spec=spec,
        units=float(spec.units),
        clock_hz=clock,
        bytes_per_second=spec.bytes_per_second,
        l2_bytes=l2_bytes,
        l2_bytes_per_second=max(l2_rate, spec.bytes_per_second),
        cache_bytes=float(behind or l2_bytes),
        # AMD's Infinity Cache is between the two: "RDNA 2" and "CDNA 3" whitepapers give 2 to 4 times the memory's rate
        cache_bytes_per_second=2.5 * spec.bytes_per_second if behind else max(l2_rate, spec.bytes_per_second),
        headroom=headroom,
    )


def held_clock(gpu: Device, engine: str) -> float:
    """Share of its clock that the power limit leaves a device whose matrix engines, or lanes, work without pause.

    Watts grow with the cube of the clock near its top, and in proportion far below: taken as the square.
    """
    spec = gpu.spec
    joules = (MATRIX_JOULES if engine == "matrix" else LANES_JOULES).get(spec.target or "")
    rate = spec.flops_per_second.get("float16" if engine == "matrix" else "float32")
    if joules is None or rate is None or spec.tdp_watts is None or spec.unified_memory:
        return 1.0
    available = FOR_ARITHMETIC * spec.tdp_watts - BOARD_WATTS
    return float(min(1.0, max(available / (joules * rate * gpu.headroom), 0.1) ** 0.5))


def shared_loads(spec: GpuSpec) -> float:
    """By how much less a unit reads from L2 because its neighbours, on the next tiles, are sent the same.

    source  NVIDIA, "H100 Tensor Core GPU Architecture", 2022, on clusters and multicast; CUTLASS' default clusters:
            two blocks on Hopper, four on the data centre's Blackwell, which multiplies in pairs of units besides
    """
    return {"9": 2.0, "10": 4.0}.get((spec.target or "").split(".")[0], 1.0)


def matrix_rate(gpu: Device, dtype: str) -> tuple[float, str]:
    """FLOP/s of a matrix product with sums in float32, at the clock under load, and the engine that does it.

    raises  SpecError if neither the dtype nor a wider one has a rate
    """
    best, engine = -inf, ""
    for name in (dtype, *WIDER.get(dtype, ())):
        for rate in gpu.spec.rates:
            if (
                rate.dtype == name
                and rate.accumulate in ("float32", "int32", "float64")
                and rate.flops_per_second > best
            ):
                best, engine = rate.flops_per_second, rate.engine
        if not gpu.spec.rates and name in gpu.spec.flops_per_second:
            best, engine = max(best, gpu.spec.flops_per_second[name]), "vector" if name == "float32" else "matrix"
    if best <= 0:
        known = ", ".join(sorted(gpu.spec.flops_per_second)) or "none"
        raise SpecError(f"{gpu.name} has no FLOP/s for {dtype}; its data sheet has: {known}. Try one of these dtypes.")
    return best * gpu.headroom * (DUAL_ISSUE if engine == "vector" and _dual_issue(gpu.spec) else 1.0), engine


def product_dtype(gpu: Device, dtype: str) -> str:
    """TensorFloat-32 only where it is faster than the lanes: on GeForce of the 30 series it is not, and cuDNN knows."""
    if dtype == "tfloat32" and gpu.spec.flops_per_second.get("tfloat32", 0.0) <= 1.01 * vector_rate(gpu) / gpu.headroom:
        return "float32"
    return dtype


def has_matrix_engine(spec: GpuSpec, dtype: str) -> bool:
    """Does the device multiply matrices of this dtype elsewhere than in its ordinary lanes?"""
    return any(rate.dtype == dtype and rate.engine == "matrix" for rate in spec.rates)


def vector_rate(gpu: Device, dtype: str = "float32") -> float:
    """FLOP/s of the ordinary lanes, at the clock under load; float32 where the dtype has no rate of its own."""
    of_vector = [rate for rate in gpu.spec.rates if rate.engine == "vector"]
    found = [rate.flops_per_second for rate in of_vector if rate.dtype == dtype]
    found = found or [rate.flops_per_second for rate in of_vector if rate.dtype == "float32"]
    rate = max(found) if found else gpu.spec.flops_per_second["float32"]
    return rate * gpu.headroom * (DUAL_ISSUE if _dual_issue(gpu.spec) else 1.0)


def _dual_issue(spec: GpuSpec) -> bool:
    return (spec.target or "").startswith("gfx11")
