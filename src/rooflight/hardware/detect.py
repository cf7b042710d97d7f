"""Everything about this machine in one value."""

import os
import platform
from pathlib import Path

from rooflight.core.types import Machine
from rooflight.hardware.cpu import detect_cpu
from rooflight.hardware.frameworks import detect_frameworks
from rooflight.hardware.gpus import detect_gpus

# Variables that hide GPUs from a process. The drivers list all GPUs whatever these say.
VISIBILITY = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def detect(root: Path = Path("/")) -> Machine:
    """CPU, GPUs and frameworks of this machine, in a fraction of a second: no framework is imported, no GPU woken.

    root    where /proc and /sys are looked for, on Linux
    raises  BackendError if the operating system does not tell the size of the memory
    """
    cpu = detect_cpu(root)
    found = detect_gpus(root, cpu_model=cpu.model)
    hidden = [
        f"{name}={os.environ[name]} decides which GPUs a process sees." for name in VISIBILITY if name in os.environ
    ]
    return Machine(
        system=system_name(),
        python=platform.python_version(),
        cpu=cpu,
        gpus=found.gpus,
        frameworks=detect_frameworks(),
        cuda_driver_version=found.cuda_driver_version,
        notes=(*found.notes, *(hidden if found.gpus else ())),
    )


def system_name() -> str:
    """`Linux 6.1.0 (glibc 2.36)`, `macOS 15.1`, `Windows 10.0.26100`."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if platform.system() == "Windows":
        return f"Windows {platform.version()}"
    library, version = platform.libc_ver()
    return f"{platform.system()} {platform.release()}" + (f" ({library} {version})" if library else "")
