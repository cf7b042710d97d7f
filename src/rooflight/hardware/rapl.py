"""The energy counter of a processor's packages, as the kernel gives it (powercap), and the processor's state now."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rooflight.core.types import GpuState
from rooflight.hardware.limits import read
from rooflight.hardware.sysfs import number

TEMPERATURE_DRIVERS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")


@dataclass
class Zone:
    """One package's counter, which starts again at 0 when it is full."""

    energy: Path
    full_microjoules: int
    last_microjoules: int
    turns: int = 0

    def microjoules(self) -> int:
        """What it has counted, turns included. It must be read once per turn: every few minutes on a busy server."""
        now = int(self.energy.read_text())
        if now < self.last_microjoules:
            self.turns += 1
        self.last_microjoules = now
        return self.turns * self.full_microjoules + now


def rapl_zones(root: Path = Path("/")) -> tuple[list[Zone], str]:
    """The counters of all packages; none, with the reason, where the kernel has none or gives them to root alone.

    root  where /sys is looked for
    """
    folder = root / "sys/class/powercap"
    packages = [zone for zone in sorted(folder.glob("*-rapl:*")) if read(zone / "name").startswith("package")]
    zones = []
    for package in packages:
        try:
            zones.append(_zone(package))
        except PermissionError:
            return [], f"the processor's energy counter is for root alone: sudo chmod o+r {package}/energy_uj opens it"
        except (OSError, ValueError) as error:
            return [], f"the processor's energy counter cannot be read: {error}"
    return zones, "" if zones else "the kernel has no energy counter of this processor (RAPL), as in a virtual machine"


def cpu_state() -> GpuState:
    """Clock (the mean of all cores), temperature and load (since the last call) of the processor."""
    import psutil

    frequency: Any = None
    with contextlib.suppress(Exception):  # a kernel that hides its files
        frequency = psutil.cpu_freq()
    return GpuState(
        free_bytes=int(psutil.virtual_memory().available),
        core_clock_hz=frequency.current * 1e6 if frequency and frequency.current else None,
        temperature_celsius=_temperature(psutil),
        busy=psutil.cpu_percent() / 100,
    )


def _zone(package: Path) -> Zone:
    energy = package / "energy_uj"
    return Zone(energy, number(package / "max_energy_range_uj") or 0, int(energy.read_text()))


def _temperature(psutil: Any) -> float | None:
    """The hottest sensor of the processor; macOS and Windows tell none."""
    try:
        sensors = psutil.sensors_temperatures()
    except Exception:
        return None
    degrees = [each.current for name in TEMPERATURE_DRIVERS for each in sensors.get(name, ())]
    return max(degrees, default=None)
