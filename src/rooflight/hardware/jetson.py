"""Jetson modules, named by their device tree: JetPack before 6 has no NVML at all."""

from pathlib import Path

from rooflight.core.types import Gpu
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.limits import read

# System on a chip, as the device tree names it → (the GPU as CUDA names it, compute capability).
CHIPS = {
    "nvidia,tegra210": ("NVIDIA Tegra X1", "5.3"),
    "nvidia,tegra186": ("NVIDIA Tegra X2", "6.2"),
    "nvidia,tegra194": ("Xavier", "7.2"),
    "nvidia,tegra234": ("Orin", "8.7"),
    "nvidia,tegra264": ("NVIDIA Thor", "11.0"),
}


def jetson_gpus(root: Path = Path("/")) -> FoundGpus:
    """The GPU of a Jetson module, for when NVML does not tell of it.

    root  where /proc is looked for
    """
    compatible = read(root / "proc/device-tree/compatible").split("\0")
    chip = next((CHIPS[name] for name in compatible if name in CHIPS), None)
    if chip is None:
        return FoundGpus()
    name, capability = chip
    module = read(root / "proc/device-tree/model")
    gpu = Gpu(
        index=0,
        name=name,
        vendor="nvidia",
        memory_bytes=None,
        free_bytes=None,
        compute_capability=capability,
        driver_version=None,
        power_limit_watts=None,
        target=capability,
        unified_memory=True,
    )
    return FoundGpus(
        gpus=(gpu,), notes=(f"{module or 'This Jetson'}: without NVML its GPU is known by its chip alone.",)
    )
