"""The instruction sets that matter to deep learning, under one name each whatever the operating system calls them."""

import sys
from collections.abc import Mapping, Sequence

# Linux's word in /proc/cpuinfo ("flags" on x86, "Features" on Arm) → our name.
LINUX = {
    "avx": "avx",
    "avx2": "avx2",
    "fma": "fma",
    "f16c": "f16c",
    "avx_vnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "amx_fp16": "amx_fp16",
    "asimd": "neon",
    "neon": "neon",  # 32-bit kernels
    "asimdhp": "fp16",
    "asimddp": "dotprod",
    "bf16": "bf16",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
    "sme2": "sme2",
}

# macOS's sysctl key → our name. On Intel the features are words in two lists instead.
APPLE = {
    "hw.optional.avx1_0": "avx",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.fma": "fma",
    "hw.optional.f16c": "f16c",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.neon": "neon",
    "hw.optional.arm.AdvSIMD": "neon",
    "hw.optional.arm.FEAT_FP16": "fp16",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.arm.FEAT_SME2": "sme2",
}

# Windows: PF_*_INSTRUCTIONS_AVAILABLE of winnt.h, for IsProcessorFeaturePresent.
WINDOWS = {39: "avx", 40: "avx2", 41: "avx512f", 19: "neon", 43: "dotprod"}

# Arm's main identification register: (implementer, part) → core. From util-linux, sys-utils/lscpu-arm.c.
ARM_CORES = {
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",  # Jetson Nano, TX1, TX2
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD0B): "Cortex-A76",  # Raspberry Pi 5
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD42): "Cortex-A78AE",  # Jetson Orin
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4F): "Neoverse-V2",  # NVIDIA Grace, AWS Graviton4
    (0x41, 0xD83): "Neoverse-V3AE",  # Jetson Thor
    (0x41, 0xD84): "Neoverse-V3",
    (0x41, 0xD85): "Cortex-X925",  # NVIDIA GB10
    (0x41, 0xD87): "Cortex-A725",  # NVIDIA GB10
    (0x41, 0xD8E): "Neoverse-N3",
    (0x46, 0x001): "A64FX",
    (0x4E, 0x003): "Denver 2",
    (0x4E, 0x004): "Carmel",  # Jetson Xavier
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1a",
}


def linux_isa(fields: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Instruction sets from the fields of /proc/cpuinfo: what every core has, where cores differ."""
    lists = [set(words.split()) for key in ("flags", "Features") for words in fields.get(key, ())]
    common = set.intersection(*lists) if lists else set()
    return _ordered(name for word, name in LINUX.items() if word in common)


def apple_isa(answers: Mapping[str, str]) -> tuple[str, ...]:
    """Instruction sets from the answers of sysctl."""
    words = set(f"{answers.get('machdep.cpu.features')} {answers.get('machdep.cpu.leaf7_features')}".lower().split())
    intel = {"avx1.0": "avx", "avx2": "avx2", "fma": "fma", "f16c": "f16c", "avx512f": "avx512f"}
    found = [name for key, name in APPLE.items() if answers.get(key) == "1"]
    return _ordered(found + [name for word, name in intel.items() if word in words])


def windows_isa() -> tuple[str, ...]:
    """Instruction sets that Windows tells of: it has no answer for AMX, bf16 and the newer AVX-512 parts."""
    if sys.platform != "win32":
        return ()
    import ctypes

    present = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return _ordered(name for number, name in WINDOWS.items() if present(number))


def arm_core(implementer: str, part: str) -> str:
    """The core's name from two hexadecimal numbers; the numbers themselves if it is not in the table."""
    try:
        return ARM_CORES[int(implementer, 16), int(part, 16)]
    except (KeyError, ValueError):
        return f"Arm core (implementer {implementer}, part {part})"


def _ordered(names: object) -> tuple[str, ...]:
    order = list(dict.fromkeys(LINUX.values()))
    return tuple(sorted(set(names), key=order.index))  # type: ignore[call-overload]
