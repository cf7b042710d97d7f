"""What the operating system lets this process use: control-group limits on memory and CPU time, CPU affinity."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = 1 << 60  # control groups v1 write "no limit" as a number near 2^63


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the control groups of this process allow, the tightest of all levels; None if there is no limit."""
    limits = [
        int(text)
        for folder, version in control_groups(root, "memory")
        if (text := read(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))).isdecimal()
    ]
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that the control groups allow, as `docker --cpus` sets it; None if there is no limit."""
    quotas = []
    for folder, version in control_groups(root, "cpu"):
        if version == 2:
            words = read(folder / "cpu.max").split()
        else:
            words = [read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def usable_cpus(total: int, root: Path = Path("/")) -> int:
    """Logical CPUs that this process may keep busy: its affinity and its quota, at most `total`."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    quota = cpu_quota(root)
    return max(1, min(total, affinity, total if quota is None else math.ceil(quota)))


def control_groups(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """The folders of this process's control group and of all above it, with the version (1 or 2) of each.

    A container often sees its own group as the root, or a path that exists only outside: every level is tried.
    """
    base = root / "sys/fs/cgroup"
    for line in read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, version = base, 2
        elif controller in controllers.split(","):
            top, version = base / controllers, 1
            top = top if top.is_dir() else base / controller
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield top.joinpath(*parts[:depth]), version


def read(path: Path) -> str:
    """The file's text without surrounding space; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\n")
    except OSError:
        return ""
