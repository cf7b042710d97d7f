"""Whether a package's kernels run on a GPU: a rule about names, not a trial."""

import re
from collections.abc import Sequence

# Chips of the Tegra line: NVIDIA promises no compatibility between their binaries and those of other GPUs.
# Source: CUDA C++ Programming Guide, "Binary Compatibility".
TEGRA = ("5.3", "6.2", "7.2", "8.7")

# Generic code objects of LLVM's AMDGPU backend → the processors that they run on.
# Source: LLVM, User Guide for AMDGPU Backend, "Generic Processors".
GENERIC = {
    "gfx9-generic": ("gfx900", "gfx902", "gfx904", "gfx906", "gfx909", "gfx90c"),
    "gfx9-4-generic": ("gfx942", "gfx950"),
    "gfx10-1-generic": ("gfx1010", "gfx1011", "gfx1012", "gfx1013"),
    "gfx10-3-generic": ("gfx1030", "gfx1031", "gfx1032", "gfx1033", "gfx1034", "gfx1035", "gfx1036"),
    "gfx11-generic": ("gfx1100", "gfx1101", "gfx1102", "gfx1103", "gfx1150", "gfx1151", "gfx1152", "gfx1153"),
    "gfx12-generic": ("gfx1200", "gfx1201"),
}


def has_kernels(targets: Sequence[str], target: str | None) -> bool | None:
    """Whether kernels compiled for `targets` run on a GPU; None where that is unknown or not promised.

    targets  as the package lists them: "sm_90" is machine code, which also runs on later minor versions of its major
             one; "sm_90a" runs on that one alone, "sm_100f" on its family; "compute_90" is PTX, which the driver
             compiles for any later GPU; "gfx942:sramecc+:xnack-" is one AMD processor, "gfx11-generic" a family
    target   the GPU's: "9.0", "gfx942"
    """
    if not targets or target is None:
        return None
    if target.startswith("gfx"):
        names = {name.partition(":")[0] for name in targets}
        return target in names or any(target in GENERIC.get(name, ()) for name in names)
    gpu = _capability(target.replace(".", ""))
    if gpu is None:
        return None
    answers = [_runs(name, gpu) for name in targets]
    return True if True in answers else None if None in answers else False


def _runs(name: str, gpu: tuple[int, int]) -> bool | None:
    """Whether one target of CUDA runs on a GPU."""
    found = re.fullmatch(r"(sm|compute)_(\d+)([af]?)", name)
    built = _capability(found.group(2)) if found else None
    if found is None or built is None:
        return False
    if found.group(3) == "a" or built == gpu:
        return built == gpu
    if found.group(1) == "compute" and not found.group(3):
        return gpu >= built
    if built[0] != gpu[0] or built[1] > gpu[1]:
        return False
    on_tegra = f"{gpu[0]}.{gpu[1]}" in TEGRA or f"{built[0]}.{built[1]}" in TEGRA
    return None if on_tegra else True


def _capability(digits: str) -> tuple[int, int] | None:
    """`120` → (12, 0): the last digit is the minor version."""
    return (int(digits[:-1]), int(digits[-1])) if digits.isdecimal() and len(digits) >= 2 else None
