"""Intel's GPUs from the files of the kernel drivers i915 and xe."""

from pathlib import Path

from rooflight.core.types import Gpu, GpuState
from rooflight.hardware.found import FoundGpus
from rooflight.hardware.limits import read
from rooflight.hardware.sysfs import celsius, graphics_cards, number, pci_address, sensor, slot_link, watts

VENDOR = "0x8086"

# PCI device → the name that Intel's compute driver gives. From the kernel's include/drm/intel/pciids.h and
# shared/source/dll/devices/devices_base.inl of intel/compute-runtime: add-in cards only.
NAMES = {
    "0x56a0": "Intel(R) Arc(TM) A770 Graphics",
    "0x56a1": "Intel(R) Arc(TM) A750 Graphics",
    "0x56a2": "Intel(R) Arc(TM) A580 Graphics",
    "0x56a5": "Intel(R) Arc(TM) A380 Graphics",
    "0x56a6": "Intel(R) Arc(TM) A310 Graphics",
    "0x5690": "Intel(R) Arc(TM) A770M Graphics",
    "0x5691": "Intel(R) Arc(TM) A730M Graphics",
    "0x5692": "Intel(R) Arc(TM) A550M Graphics",
    "0x5693": "Intel(R) Arc(TM) A370M Graphics",
    "0x5694": "Intel(R) Arc(TM) A350M Graphics",
    "0x56c0": "Intel(R) Data Center GPU Flex 170",
    "0x56c1": "Intel(R) Data Center GPU Flex 140",
    "0xe20b": "Intel(R) Arc(TM) B580 Graphics",
    "0xe20c": "Intel(R) Arc(TM) B570 Graphics",
    "0xe211": "Intel(R) Arc(TM) Pro B60 Graphics",
    "0xe212": "Intel(R) Arc(TM) Pro B50 Graphics",
    "0x0bd5": "Intel(R) Data Center GPU Max 1550",
    "0x0bda": "Intel(R) Data Center GPU Max 1100",
}

INTEGRATED_SLOT = ":00:02.0"  # where every Intel processor has its own graphics


def intel_gpus(root: Path = Path("/")) -> FoundGpus:
    """Intel's GPUs in the order of their cards.

    root  where /sys is looked for
    """
    devices = graphics_cards(root / "sys/class/drm", VENDOR)
    return FoundGpus(gpus=tuple(_gpu(index, device) for index, device in enumerate(devices)))


def intel_state(device: Path) -> GpuState:
    """Clock and temperature now; power comes from the energy counter, load and throttling are not told.

    device  /sys/class/drm/card0/device
    """
    clock = _megahertz(device, "gt_act_freq_mhz", "act_freq")
    # xe: temp2 is the package; i915 has one sensor.
    return GpuState(core_clock_hz=clock, temperature_celsius=celsius(sensor(device, "temp2_input", "temp1_input")))


def _gpu(index: int, device: Path) -> Gpu:
    kind, address = read(device / "device").lower(), pci_address(device)
    integrated = (address or "").endswith(INTEGRATED_SLOT)
    return Gpu(
        index=index,
        name=NAMES.get(kind, f"Intel GPU {kind or 'of unknown kind'}"),
        vendor="intel",
        memory_bytes=number(device / "lmem_total_bytes"),  # i915 of Intel's data-centre kernels; upstream tells nothing
        free_bytes=None,
        compute_capability=None,
        driver_version=None,  # the kernel's own
        pci_address=address,
        power_limit_watts=watts(sensor(device, "power1_max")),
        default_power_limit_watts=watts(sensor(device, "power1_rated_max")),
        max_core_clock_hz=_megahertz(device, "gt_max_freq_mhz", "max_freq"),
        pcie=None if integrated else slot_link(device, VENDOR),
        unified_memory=integrated,
        state=intel_state(device),
    )


def _megahertz(device: Path, i915: str, xe: str) -> float | None:
    """A clock in Hz: i915 keeps it beside the card's `device`, xe below each tile."""
    card = next(device.glob("drm/card[0-9]*"), device)
    paths = (card / i915, *sorted(device.glob(f"tile*/gt*/freq0/{xe}")))
    return next((value * 1e6 for path in paths if (value := number(path)) is not None), None)
