"""How `info --watch` shows its samples: a table that renews itself, a line each where there is no terminal, or JSON."""

import os
import sys

from rich.console import Console
from rich.live import Live
from rich.table import Table

from rooflight.core.codec import to_json
from rooflight.core.tables import Report
from rooflight.flows.watch import COLUMNS, Sample, sample_row, watch


def run_watch(*, interval: float, samples: int | None, json: bool) -> Report | None:
    """Show samples until they are enough or Ctrl-C. With `json` every sample is a document, and nothing follows."""
    console = Console(highlight=False)
    try:
        if json:
            watch(lambda sample: print(to_json(sample, indent=None), flush=True), interval=interval, samples=samples)
            return None
        if not console.is_terminal:
            return watch(_print_line, interval=interval, samples=samples)
        with Live(console=console, auto_refresh=False) as live:
            return watch(lambda sample: live.update(_table(sample), refresh=True), interval=interval, samples=samples)
    except BrokenPipeError:  # a reader that has seen enough is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return None


def _print_line(sample: Sample) -> None:
    """`2026-11-24T11:05:07.250+00:00  GPU 0: NVIDIA L4  power 71 W  temperature 54 °C …`, devices apart by a bar."""
    print(f"{sample.date}  {'  |  '.join(_words(sample_row(device)) for device in sample.devices)}", flush=True)


def _words(row: tuple[str, ...]) -> str:
    name, *values = row
    return "  ".join([name, *(f"{word} {value}" for word, value in zip(COLUMNS[1:], values, strict=True) if value)])


def _table(sample: Sample) -> Table:
    table = Table(box=None, header_style="dim", caption="Ctrl-C ends", caption_justify="left")
    rows = [sample_row(device) for device in sample.devices]
    shown = [number for number in range(len(COLUMNS)) if any(row[number] for row in rows)]
    for number in shown:
        table.add_column(COLUMNS[number], justify="left" if number in (0, len(COLUMNS) - 1) else "right")
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    return table
