"""Everything about this machine in one value."""

import platform
from pathlib import Path

from rooflight.core.types import Machine
from rooflight.hardware.amd import rocm_version
from rooflight.hardware.cpu import detect_cpu
from rooflight.hardware.frameworks import detect_frameworks
from rooflight.hardware.gpus import detect_gpus


def detect(root: Path = Path("/")) -> Machine:
    """CPU, GPUs and frameworks of this machine, in a fraction of a second: no framework is imported, none is asked.

    root    where /proc and /sys are looked for, on Linux
    raises  BackendError if the operating system does not tell the size of the memory
    """
    cpu = detect_cpu(root)
    found = detect_gpus(root, cpu_model=cpu.model)
    return Machine(
        system=system_name(),
        python=platform.python_version(),
        cpu=cpu,
        gpus=found.gpus,
        frameworks=detect_frameworks(),
        cuda_driver_version=found.cuda_driver_version,
        rocm_version=rocm_version(root),
        notes=found.notes,
    )


def system_name() -> str:
    """`Linux 6.1.0 (glibc 2.36)`, `macOS 15.1`, `Windows 10.0.26100`."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    if platform.system() == "Windows":
        return f"Windows {platform.version()}"
    library, version = platform.libc_ver()
    return f"{platform.system()} {platform.release()}" + (f" ({library} {version})" if library else "")
