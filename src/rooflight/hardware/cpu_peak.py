"""What a processor could do at most: cores × FLOPs per clock × clock, from a table by microarchitecture."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rooflight.core.units import show_hertz
from rooflight.hardware.sysfs import number


@dataclass(frozen=True, slots=True)
class Core:
    """One microarchitecture: how many FLOPs a core can start in each clock. A multiply-add is 2 FLOPs."""

    name: str
    float32: int  # FMA units × lanes × 2
    more: Mapping[str, tuple[int, str]] = field(default_factory=dict)  # dtype → FLOPs per clock, the extension it needs


@dataclass(frozen=True, slots=True)
class CpuId:
    """What CPUID answers: "GenuineIntel", 6, 143."""

    vendor: str
    family: int | None
    model: int | None


NO_ID = CpuId("", None, None)

# FP32 per clock: units × (bits / 32) × 2. x86 from Intel's Optimization Reference Manual (port tables; AMX: 1,024
# bfloat16 and 2,048 int8 operations per clock and core) and AMD's Software Optimization Guides for families 17h, 19h
# and 1Ah; Arm from the Software Optimization Guide of each core. float64 is half of float32 on all of these.
SANDY_BRIDGE = Core("Intel core with AVX, without FMA", 16)
HASWELL = Core("Intel core with two AVX2 multiply-add units", 32)
SKYLAKE_ONE_UNIT = Core("Intel core with one AVX-512 multiply-add unit", 32)
SKYLAKE_TWO_UNITS = Core("Intel core with two AVX-512 multiply-add units", 64)
_AMX = {"bfloat16": (1024, "amx_bf16"), "int8": (2048, "amx_int8")}
SAPPHIRE_RAPIDS = Core("Intel core with two AVX-512 units and AMX", 64, _AMX | {"float16": (128, "avx512_fp16")})
GRANITE_RAPIDS = Core("Intel core with two AVX-512 units and AMX", 64, _AMX | {"float16": (1024, "amx_fp16")})
ZEN1 = Core("AMD Zen", 16)
ZEN2 = Core("AMD Zen 2 or 3", 32)
# VDPBF16PS does two multiply-adds in each 32-bit lane and VPDPBUSD four, at the rate of the float32 FMA.
ZEN4 = Core("AMD Zen 4", 32, {"bfloat16": (64, "avx512_bf16"), "int8": (128, "avx512_vnni")})
ZEN5_FULL = Core("AMD Zen 5", 64, {"bfloat16": (128, "avx512_bf16"), "int8": (256, "avx512_vnni")})
ZEN5_HALF = Core("AMD Zen 5 with 256-bit units", 32, {"bfloat16": (64, "avx512_bf16"), "int8": (128, "avx512_vnni")})

INTEL = {  # family 6: model → core
    **dict.fromkeys((42, 45, 58, 62), SANDY_BRIDGE),
    **dict.fromkeys((60, 63, 69, 70, 61, 71, 79, 86, 78, 94, 142, 158, 165, 166), HASWELL),
    **dict.fromkeys((125, 126, 140, 141, 167), SKYLAKE_ONE_UNIT),
    **dict.fromkeys((106, 108), SKYLAKE_TWO_UNITS),
    **dict.fromkeys((143, 207), SAPPHIRE_RAPIDS),
    **dict.fromkeys((173, 174), GRANITE_RAPIDS),
}
# Performance and efficiency cores beside each other: Alder, Raptor, Meteor, Arrow and Lunar Lake.
INTEL_HYBRID = (151, 154, 183, 186, 191, 170, 172, 197, 198, 181, 189)
SKYLAKE_SERVER = 85  # one or two units, by the product

ARM = {
    **dict.fromkeys(
        ("Neoverse-N1", "Neoverse-N2", "Neoverse-N3", "Cortex-A76", "Cortex-A78AE", "Ampere-1", "Ampere-1a"), 16
    ),
    **dict.fromkeys(("Neoverse-V1", "Neoverse-V2", "Neoverse-V3", "Neoverse-V3AE"), 32),
    **dict.fromkeys(("Cortex-A57", "Cortex-A72"), 8),
    "A64FX": 64,
}


def cpu_peak(
    model: str, identity: CpuId, isa: Sequence[str], *, cores: int | None, clock_hz: float | None
) -> tuple[Mapping[str, float], str]:
    """Peak FLOP/s by dtype, and what it rests on; empty, with the reason, where a factor is unknown.

    cores     physical, that this process may use
    clock_hz  the highest that the operating system names. A nominal clock will not do: cores boost above it, and a
              measurement would exceed a peak counted with it
    """
    core = core_of(model, identity, isa)
    if core is None:
        mixed = " + " in model or (identity.vendor == "GenuineIntel" and identity.model in INTEL_HYBRID)
        return {}, "its cores are of several kinds" if mixed else "no entry for this microarchitecture"
    basis = f"{core.name}: {core.float32} float32 FLOPs per clock and core"
    if cores is None:
        return {}, f"{basis}; the number of physical cores is unknown"
    if clock_hz is None:
        return {}, f"{basis}; the operating system names no highest clock"
    per_clock = {"float64": core.float32 // 2, "float32": core.float32}
    per_clock |= {dtype: flops for dtype, (flops, extension) in core.more.items() if extension in isa}
    rates = {dtype: cores * flops * clock_hz for dtype, flops in per_clock.items()}
    return (
        rates,
        f"{basis}, {cores} cores at {show_hertz(clock_hz)}, the kernel's highest clock (all at once run slower)",
    )


def core_of(model: str, identity: CpuId, isa: Sequence[str]) -> Core | None:
    """The table's entry of a processor. Where the operating system hides AVX-512, its units work on 256 bits."""
    core = _listed(model, identity, isa)
    if core is None or (core.float32 >= 32 and model not in ARM and "avx2" not in isa):
        return None
    if core.float32 == 64 and model not in ARM and "avx512f" not in isa:
        return dataclasses.replace(core, float32=32)
    return core


def cpu_id(fields: Mapping[str, Sequence[str]]) -> CpuId:
    """From the fields of /proc/cpuinfo; empty on Arm."""
    vendor, family, model = (next(iter(fields.get(key, ())), "") for key in ("vendor_id", "cpu family", "model"))
    return CpuId(vendor, int(family) if family.isdecimal() else None, int(model) if model.isdecimal() else None)


def windows_cpu_id(text: str) -> CpuId:
    """From `Intel64 Family 6 Model 143 Stepping 8, GenuineIntel`, as platform.processor() says on Windows."""
    found = re.search(r"Family (\d+) Model (\d+) .*, (\w+)", text)
    return CpuId(found.group(3), int(found.group(1)), int(found.group(2))) if found else NO_ID


def highest_clock(root: Path) -> float | None:
    """The highest clock of any core in Hz, from the kernel's frequency driver; a virtual machine has none.

    root  where /sys is looked for
    """
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    return max((value * 1e3 for path in paths if (value := number(path))), default=None)


def _listed(model: str, identity: CpuId, isa: Sequence[str]) -> Core | None:
    if model in ARM:
        return Core(model, ARM[model], {"float16": (2 * ARM[model], "fp16")})
    if identity.vendor == "AuthenticAMD":
        return _amd(identity)
    if identity.vendor != "GenuineIntel" or identity.family != 6:
        return None
    if identity.model == SKYLAKE_SERVER:
        return SKYLAKE_TWO_UNITS if _two_units(model) else SKYLAKE_ONE_UNIT
    return INTEL.get(identity.model or 0)


def _amd(identity: CpuId) -> Core | None:
    """By family and model, as in the kernel's arch/x86/kernel/cpu/amd.c."""
    number = identity.model or 0
    if identity.family == 0x17:
        return ZEN1 if number < 0x30 else ZEN2
    if identity.family == 0x19:
        return ZEN4 if number in (*range(0x10, 0x20), *range(0x60, 0x80), *range(0xA0, 0xB0)) else ZEN2
    if identity.family == 0x1A:
        return ZEN5_HALF if number in (*range(0x20, 0x30), *range(0x60, 0x70)) else ZEN5_FULL
    return None


def _two_units(model: str) -> bool:
    """Skylake-SP and Cascade Lake: Bronze, Silver and most of Gold 5000 have one AVX-512 unit fewer."""
    return "Gold 5122" in model or not any(word in model for word in ("Bronze", "Silver", "Gold 5", "D-21"))
