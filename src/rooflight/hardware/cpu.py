"""The processor: its name, cores, caches, memory and the instruction sets that matter to deep learning."""

import os
import platform
import subprocess
import sys
from pathlib import Path

from rooflight.core.errors import BackendError
from rooflight.core.types import Cpu
from rooflight.hardware.cpu_peak import NO_ID, CpuId, cpu_id, cpu_peak, highest_clock, windows_cpu_id
from rooflight.hardware.isa import apple_isa, arm_core, linux_isa, windows_isa
from rooflight.hardware.limits import memory_limit, read, usable_cpus


def detect_cpu(root: Path = Path("/")) -> Cpu:
    """The processor as this process may use it: within its affinity and its control group's memory and CPU quota.

    root    where /proc and /sys are looked for, on Linux
    l2_bytes and l3_bytes are sums over the whole processor, as lscpu prints them
    raises  BackendError if the operating system does not tell the size of the memory
    """
    physical, logical = _cores()
    usable = usable_cpus(logical, root)
    model, identity, isa, l2_bytes, l3_bytes = _describe(root)
    model = model or platform.processor() or "unknown"
    cores = None if physical is None else min(physical, usable)
    peak, note = cpu_peak(model, identity, isa, cores=cores, clock_hz=highest_clock(root))
    return Cpu(
        model=model,
        architecture=architecture(platform.machine()),
        physical_cores=cores,
        logical_cores=usable,
        isa=isa,
        l2_bytes=l2_bytes,
        l3_bytes=l3_bytes,
        memory_bytes=_memory_bytes(root),
        peak_flops_per_second=peak,
        peak_note=note,
    )


def architecture(machine: str) -> str:
    """One name for each architecture: Windows says AMD64 and ARM64, macOS says arm64."""
    return {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine or "unknown")


def cpu_model(cpuinfo: str) -> str | None:
    """The processor's name in a text from /proc/cpuinfo; the cores' names on Arm, where the kernel gives numbers."""
    fields = cpuinfo_fields(cpuinfo)
    for key in ("model name", "Model Name", "cpu model"):
        name = next(iter(fields.get(key, ())), "")
        # Old Arm kernels write the architecture here ("ARMv8 Processor rev 1 (v8l)"): the part number says more.
        if name and not name.startswith("ARMv"):
            return " ".join(name.split())
    cores = zip(fields.get("CPU implementer", ()), fields.get("CPU part", ()), strict=False)
    names = dict.fromkeys(arm_core(implementer, part) for implementer, part in cores)
    return " + ".join(names) or next(iter(fields.get("model name", ())), None)


def cpuinfo_fields(cpuinfo: str) -> dict[str, list[str]]:
    """Every field of /proc/cpuinfo with its values in order, one per logical CPU."""
    fields: dict[str, list[str]] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), []).append(value.strip())
    return fields


def cache_bytes(level: int, cpus: Path) -> int | None:
    """Size of all data caches of one level, each counted once however many CPUs share it.

    cpus    /sys/devices/system/cpu
    """
    found: dict[str, int] = {}
    seen: set[str] = set()
    for cpu in sorted(cpus.glob("cpu[0-9]*"), key=lambda path: int(path.name[3:])):
        if cpu.name[3:] in seen:
            continue
        for index in cpu.glob("cache/index*"):
            if read(index / "level") != str(level) or read(index / "type") == "Instruction":
                continue
            size, shared = _kernel_size(read(index / "size")), read(index / "shared_cpu_list") or cpu.name[3:]
            if size is not None:
                found[shared] = size
                seen.update(_cpu_list(shared))
    return sum(found.values()) or None


def _describe(root: Path) -> tuple[str | None, CpuId, tuple[str, ...], int | None, int | None]:
    """Model, identity, instruction sets, L2 and L3 bytes, asked of the operating system at hand."""
    if sys.platform == "darwin":
        answers = sysctl_fields(_sysctl())
        l2, l3 = (_positive(answers.get(f"hw.{name}cachesize")) for name in ("l2", "l3"))
        return answers.get("machdep.cpu.brand_string"), NO_ID, apple_isa(answers), l2, l3
    if sys.platform == "win32":
        return _windows_model(), windows_cpu_id(platform.processor()), windows_isa(), None, None
    cpuinfo, cpus = read(root / "proc/cpuinfo"), root / "sys/devices/system/cpu"
    fields = cpuinfo_fields(cpuinfo)
    return cpu_model(cpuinfo), cpu_id(fields), linux_isa(fields), cache_bytes(2, cpus), cache_bytes(3, cpus)


def sysctl_fields(text: str) -> dict[str, str]:
    """`sysctl hw machdep` as a dict."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _sysctl() -> str:
    try:
        answer = subprocess.run(["sysctl", "hw", "machdep.cpu"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout


def _windows_model() -> str | None:
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0") as key:
            return str(winreg.QueryValueEx(key, "ProcessorNameString")[0]).strip()
    except OSError:
        return None


def _cores() -> tuple[int | None, int]:
    """Physical and logical cores of the machine, whatever this process may use of them."""
    import psutil

    try:
        return psutil.cpu_count(logical=False), psutil.cpu_count() or os.cpu_count() or 1
    except (OSError, RuntimeError):  # /proc is missing or hidden
        return None, os.cpu_count() or 1


def _memory_bytes(root: Path) -> int:
    import psutil

    try:
        total = psutil.virtual_memory().total
    except (OSError, RuntimeError, ValueError):  # /proc is missing or hidden; the kernel itself still answers
        try:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError) as error:
            raise BackendError(f"the operating system does not tell how much memory there is: {error}.") from None
    limit = memory_limit(root)
    return int(total if limit is None else min(total, limit))


def _kernel_size(text: str) -> int | None:
    """`1024K` or `32M`, as the kernel writes a cache's size."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    digits, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    return int(digits) * unit if digits.isdecimal() else None


def _cpu_list(text: str) -> set[str]:
    """`0-3,8` as the names of those CPUs."""
    names: set[str] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            names.update(map(str, range(int(first), int(last or first) + 1)))
    return names


def _positive(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) > 0 else None
