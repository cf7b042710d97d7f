"""The GPUs of this machine, as their drivers name them. Nothing is initialised on a GPU."""

import sys
from pathlib import Path
from typing import Any

from rooflight.hardware.amd import amd_gpus
from rooflight.hardware.apple import apple_gpus
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.intel import intel_gpus
from rooflight.hardware.jetson import jetson_gpus
from rooflight.hardware.nvidia import nvidia_gpus
from rooflight.hardware.nvml import import_pynvml


def detect_gpus(root: Path = Path("/"), nvml: Any = None, cpu_model: str = "") -> FoundGpus:
    """NVIDIA's GPUs by NVML, AMD's and Intel's by the kernel's files, Apple's by the processor's name.

    root       where /proc and /sys are looked for
    nvml       the module pynvml, or something with its functions; None: pynvml
    cpu_model  the processor's name, which on Apple silicon is the GPU's too
    """
    pynvml, failure = (nvml, "") if nvml else import_pynvml()
    loaded = (root / "proc/driver/nvidia").exists()
    nvidia = nvidia_gpus(pynvml, driver_loaded=loaded, import_failure=failure)
    if not nvidia.gpus:
        jetson = jetson_gpus(root)
        nvidia = jetson if jetson.gpus else nvidia
    apple = apple_gpus(cpu_model) if sys.platform == "darwin" else FoundGpus()
    vendors = (nvidia, amd_gpus(root), intel_gpus(root), apple)
    return FoundGpus(
        gpus=tuple(gpu for vendor in vendors for gpu in vendor.gpus),
        cuda_driver_version=nvidia.cuda_driver_version,
        notes=tuple(note for vendor in vendors for note in vendor.notes),
    )
