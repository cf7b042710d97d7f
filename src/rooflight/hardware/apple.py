"""The GPU inside an Apple processor."""

import re
import subprocess

from rooflight.core.types import Gpu
from rooflight.hardware.found import FoundGpus


def apple_gpus(cpu_model: str, registry: str | None = None) -> FoundGpus:
    """The GPU of the processor of that name; none on an Intel Mac. Its memory is the machine's.

    registry  the answer of `ioreg -rc AGXAccelerator -d1`; None: it is asked
    """
    if not cpu_model.startswith("Apple"):
        return FoundGpus()
    gpu = Gpu(
        index=0,
        name=cpu_model,
        vendor="apple",
        memory_bytes=None,
        free_bytes=None,
        compute_capability=None,
        driver_version=None,
        power_limit_watts=None,
        units=_cores(_registry() if registry is None else registry),
        unified_memory=True,
    )
    return FoundGpus(gpus=(gpu,))


def _cores(registry: str) -> int | None:
    found = re.search(r'"gpu-core-count"\s*=\s*(\d+)', registry)
    return int(found.group(1)) if found else None


def _registry() -> str:
    try:
        answer = subprocess.run(["ioreg", "-rc", "AGXAccelerator", "-d1"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout
