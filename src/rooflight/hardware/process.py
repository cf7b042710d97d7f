"""What is set for this process, by a command and never by an import, and said in its output."""

import ctypes
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
