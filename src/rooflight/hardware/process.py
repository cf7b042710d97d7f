"""What is set for this process, by a command and never by an import, and said in its output."""

import ctypes
import os
import platform

# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def keep_freed_memory() -> tuple[str, ...]:
    """Make glibc's malloc keep freed memory instead of giving it back to the kernel after each step.

    A training step on a CPU frees its activations and asks for them again. By default each large block is mapped and
    unmapped, and every page of it faults anew: about 6,000 faults in a step of the CNN at batch 128. The price: the
    process holds its peak until it ends. Does nothing on another C library.
    returns  what was set, a line each
    """
    if platform.libc_ver()[0] != "glibc":
        return ()
    libc = ctypes.CDLL(None)
    if libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, _MOST):
        return ("malloc keeps freed memory (M_MMAP_MAX 0, M_TRIM_THRESHOLD 2 GiB)",)
    return ()


def busy_words() -> str | None:
    """That other processes keep cores busy, and how many; None if they do not, or the system does not tell."""
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    return f"the machine is busy (load {load:.1f} on {cores} cores)" if load >= max(1.0, 0.75 * cores) else None


def busy_cores() -> tuple[str, ...]:
    """A warning if other processes keep cores busy: threads that wait for each other then lose several times as much.

    returns  nothing, or one line; the load is the average of the last minute, so it may be this process's own past
    """
    words = busy_words()
    if words is None:
        return ()
    return (
        f"{words} and may train far below its speed: "
        "OMP_NUM_THREADS=1 or OMP_WAIT_POLICY=passive in front of the command can help",
    )


def available_bytes() -> int:
    """Host memory that a process can still take without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)
