"""What surrounds this process and limits it: variables, container, shared memory, CPUs it may use."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rooflight.hardware.limits import cpu_quota, read

# Variables that decide what a process may use, or how fast.
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE", "CUDA_DEVICE_ORDER"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything that advice rests on besides the machine itself."""

    variables: Mapping[str, str] = field(default_factory=dict)
    in_container: bool = False
    shared_memory_bytes: int | None = None  # the size of /dev/shm; None: there is none
    host_cpus: int | None = None  # logical CPUs that the kernel has
    cpu_quota: float | None = None  # CPUs' worth of time that the control group allows; None: no limit


def look_around(root: Path = Path("/")) -> Surroundings:
    """The surroundings of this process.

    root  where /proc, /sys, /dev and the marks of container runtimes are looked for
    """
    return Surroundings(
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        in_container=_in_container(root),
        shared_memory_bytes=_size(root / "dev/shm"),
        host_cpus=os.cpu_count(),
        cpu_quota=cpu_quota(root),
    )


def _in_container(root: Path) -> bool:
    """Docker and Podman leave a file; Kubernetes sets a variable; older runtimes show in the control group's path."""
    marks = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()
    groups = read(root / "proc/1/cgroup")
    return (
        marks
        or "KUBERNETES_SERVICE_HOST" in os.environ
        or any(word in groups for word in ("docker", "kubepods", "lxc"))
    )


def _size(folder: Path) -> int | None:
    try:
        space = os.statvfs(folder)
    except (AttributeError, OSError):  # Windows; no such folder
        return None
    return space.f_frsize * space.f_blocks
