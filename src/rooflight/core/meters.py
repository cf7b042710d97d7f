"""What reads power and clocks while something is measured. `hardware` makes them, `bench` is handed one."""

from typing import Protocol

from rooflight.core.types import GpuState


class Meter(Protocol):
    """One device's energy counter and state."""

    name: str  # what is read: "NVML's energy counter", "RAPL, processor package"

    def joules(self) -> float | None:
        """Energy drawn since a fixed moment, so that a difference is what a window drew; None: there is no counter."""

    def state(self) -> GpuState:
        """Power, clocks, temperature and throttling now; every field None on a CPU that does not tell."""

    def close(self) -> None:
        """Let go of the driver."""
