"""links.csv and collectives.csv: what a link could carry, and what collectives were measured to reach over it."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rooflight.core.types import Link

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Collective:
    """One measured collective inside one machine; bandwidth for large messages, seconds for small ones."""

    gpu: str  # name of a catalogue entry
    collective: str  # "all_reduce", "all_gather", "reduce_scatter", "all_to_all"
    gpus: int
    message_bytes: int
    bus_bytes_per_second: float | None  # as nccl-tests defines it: comparable to the link's own figure
    seconds: float | None
    note: str  # the algorithm, where it was set
    source: str


@cache
def links() -> Mapping[str, Link]:
    """Links by name. The figure is one direction, all links of one device together."""
    with (FOLDER / "links.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["link"]: Link(
                name=row["link"],
                bytes_per_second=float(row["gb_per_second"]) * 1e9,
                devices=int(row["devices"]) if row["devices"] else None,
                source=f"{row['source']}; {row['topology']}",
            )
            for row in csv.DictReader(file)
        }


@cache
def collectives() -> tuple[Collective, ...]:
    """Every measurement, in the file's order."""
    with (FOLDER / "collectives.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Collective(
                gpu=row["gpu"],
                collective=row["collective"],
                gpus=int(row["gpus"]),
                message_bytes=int(row["message_bytes"]),
                bus_bytes_per_second=_scaled(row["bus_gb_per_second"], 1e9),
                seconds=_scaled(row["microseconds"], 1e-6),
                note=row["note"],
                source=row["source"],
            )
            for row in csv.DictReader(file)
        )


def measured(gpu: str, collective: str, gpus: int) -> tuple[Collective, ...]:
    """What was measured for this GPU, collective and number of GPUs; () if nothing was."""
    return tuple(each for each in collectives() if (each.gpu, each.collective, each.gpus) == (gpu, collective, gpus))


def _scaled(text: str, scale: float) -> float | None:
    return float(text) * scale if text else None
