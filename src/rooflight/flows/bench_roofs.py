"""`rooflight bench roofs`: what a device reaches, beside what its data sheet says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.errors import refuse_seconds
from rooflight.core.files import refuse_unwritable
from rooflight.core.roofs import Bandwidth, EngineRate, Roofs
from rooflight.core.tables import Report, Table
from rooflight.core.types import Machine, Measurement, Rate
from rooflight.core.units import (
    show_bytes,
    show_bytes_per_second,
    show_flops_per_second,
    show_hertz,
    show_percent,
    show_seconds,
)
from rooflight.flows.answer import keep_answer
from rooflight.flows.roof import catalogued, device_memory_bytes, device_name

if TYPE_CHECKING:
    import torch

    from rooflight.bench.engines import Peaks

DIFFERENT = 0.05  # a sustained rate is shown where it is further than this from the burst


def bench_roofs(
    *,
    device: str = "auto",
    dtypes: Sequence[str] = (),
    seconds: float = 50.0,
    out: Path | None = None,
    ascii_only: bool = False,
    console: Console | None = None,
) -> Report:
    """FLOP/s by engine and dtype, bandwidths, transfers and launches of one device.

    dtypes      of the products; empty: those that the device computes natively
    seconds     for all of it; what the bursts leave is spent on sustained runs
    out         a file that gets the JSON answer
    ascii_only  draw the roofline without braille
    returns     exit code 1 if a figure is above its dense peak, which cannot be
    """
    import torch

    from rooflight.bench.roofs import measure_roofs
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.hardware.power import open_meter
    from rooflight.train.device import pick_device

    console = console or Silent()
    refuse_seconds("--seconds", seconds)
    if out is not None:
        refuse_unwritable(out)
    where, why = pick_device(device)
    machine = detect()
    name = device_name(where, machine)
    threads = torch.get_num_threads()
    console.say(f"device {where}, {name} ({why})" + (f", {threads} threads" if where.type == "cpu" else ""))
    meter, why_meter = open_meter(machine, where.type, where.index or 0)
    try:
        answer = measure_roofs(
            where,
            name=name,
            memory_bytes=device_memory_bytes(where, machine),
            environment=environment(name, threads=threads),
            peaks=peaks_of(where, machine),
            dtypes=tuple(dtypes) or None,
            cache_bytes=last_cache_bytes(where, machine),
            meter=meter,
            why_meter=why_meter,
            seconds=seconds,
            observe=lambda measurement: console.say(_say(measurement)),
        )
    finally:
        if meter is not None:
            meter.close()
    tables = (_engine_table(answer), _power_table(answer), _bandwidth_table(answer), _transfer_table(answer))
    report = Report(
        answer=answer,
        tables=tuple(table for table in tables if table.rows),
        notes=(*_drawing(answer, ascii_only), *_notes(answer)),
        exit_code=1 if answer.faults else 0,
    )
    return keep_answer(report, out)


def peaks_of(device: torch.device, machine: Machine) -> Peaks:
    """The dense peaks of a GPU from the catalogue, of the CPU from its clock and units."""
    from rooflight.bench.engines import Peaks, product_engine

    if device.type == "cpu":
        known = machine.cpu.peak_flops_per_second
        rates = tuple(
            Rate(engine=product_engine(device, dtype, ()), dtype=dtype, accumulate="float32", flops_per_second=rate)
            for dtype, rate in known.items()
        )
        return Peaks(rates=rates, source=machine.cpu.peak_note if known else None)
    spec = catalogued(device)
    if spec is None:
        return Peaks()
    doubted = [conflict for conflict in spec.conflicts if "bandwidth" in conflict.partition(":")[0]]
    return Peaks(
        rates=spec.rates,
        bytes_per_second=spec.bytes_per_second,
        bytes_sure=not doubted,
        source="; ".join((f"{spec.name} in the catalogue: {spec.source}", *doubted)),
    )


def last_cache_bytes(device: torch.device, machine: Machine) -> int | None:
    """The size of the CPU's last cache; for a GPU None, as PyTorch knows its L2."""
    return (machine.cpu.l3_bytes or machine.cpu.l2_bytes) if device.type == "cpu" else None


# ---------------------------------------------------------------- for people


def _say(measurement: Measurement) -> str:
    show = {"FLOP/s": show_flops_per_second, "B/s": show_bytes_per_second, "s": show_seconds}[measurement.unit]
    drawn = f", {measurement.watts:.0f} W" if measurement.watts is not None else ""
    return f"{measurement.name}: {show(measurement.median)}{drawn}"


def _engine_table(roofs: Roofs) -> Table:
    rows = []
    for row in roofs.engines:
        cells = (
            row.engine,
            row.dtype,
            row.burst.name.replace(f" {row.dtype}", "", 1),
            show_flops_per_second(row.burst.median),
            show_flops_per_second(row.peak_flops_per_second),
            _share(row),
            _sustained(row, show_flops_per_second(row.sustained.median) if row.sustained else ""),
        )
        rows.append(cells)
    columns = ("engine", "dtype", "by", "reached", "dense peak", "share", "sustained")
    return Table(columns=columns, rows=tuple(rows))


def _bandwidth_table(roofs: Roofs) -> Table:
    rows = []
    for row in roofs.bandwidths:
        cells = (
            row.level,
            row.burst.name,
            show_bytes(row.set_bytes),
            show_bytes_per_second(row.burst.median),
            show_bytes_per_second(row.peak_bytes_per_second),
            _share(row),
            _sustained(row, show_bytes_per_second(row.sustained.median) if row.sustained else ""),
        )
        rows.append(cells)
    columns = ("bandwidth", "by", "working set", "reached", "peak", "share", "sustained")
    return Table(columns=columns, rows=tuple(rows))


def _power_table(roofs: Roofs) -> Table:
    """Of the rows with a sustained run under a meter."""
    rows = []
    measured: tuple[EngineRate | Bandwidth, ...] = (*roofs.engines, *roofs.bandwidths)
    for row in measured:
        run = row.sustained
        if run is None or run.watts is None:
            continue
        clock = show_hertz(run.clock_hz)
        if isinstance(row, EngineRate):
            name, per_watt = f"{row.engine} {row.dtype}", show_flops_per_second(row.flops_per_joule)
        else:
            name, per_watt = f"{row.level} {row.pattern}", show_bytes_per_second(row.bytes_per_joule)
        rows.append((name, f"{run.watts:.0f} W", f"{per_watt} per W", clock, ", ".join(run.throttled_by) or "no"))
    return Table(columns=("sustained", "power", "efficiency", "clock", "throttled"), rows=tuple(rows))


def _transfer_table(roofs: Roofs) -> Table:
    rows = tuple(
        (
            row.direction,
            "page-locked" if row.pinned else "pageable",
            show_bytes(row.bytes),
            show_bytes_per_second(row.measured.median),
        )
        for row in roofs.transfers
    )
    return Table(columns=("transfer", "host memory", "size", "reached"), rows=rows)


def _share(row: EngineRate | Bandwidth) -> str:
    if row.share is None:
        return "unknown"
    return show_percent(row.share) + (" !" if row.above_peak else "")


def _sustained(row: EngineRate | Bandwidth, rate: str) -> str:
    if row.sustained is None:
        return "not run"
    return rate if abs(row.sustained.median / row.burst.median - 1) > DIFFERENT else "the same"


def _drawing(roofs: Roofs, ascii_only: bool) -> tuple[str, ...]:
    """The roofline of the best rate of each engine and dtype; nothing if no product was measured."""
    from rooflight.report.roofline import Ceiling, draw_roofline

    best: dict[tuple[str, str], EngineRate] = {}
    for row in sorted(roofs.engines, key=lambda row: row.burst.median):
        best[row.engine, row.dtype] = row
    if not best:
        return ()
    ceilings = [
        Ceiling(
            label=f"{row.engine} {row.dtype}",
            flops_per_second=row.burst.median,
            peak_flops_per_second=row.peak_flops_per_second,
        )
        for row in sorted(best.values(), key=lambda row: row.burst.median)
    ]
    memory = next(row for row in roofs.bandwidths if row.level == "memory" and row.pattern == "copy")
    return (draw_roofline(memory.burst.median, ceilings, ascii_only=ascii_only), "")


def _notes(roofs: Roofs) -> tuple[str, ...]:
    from rooflight.bench.rates import unsteady

    bursts = [*(row.burst for row in roofs.engines), *(row.burst for row in roofs.bandwidths)]
    peaks = f"dense peaks: {roofs.peaks}" if roofs.peaks else "no dense peak is known for this device"
    return (
        *(f"! {line}" for line in roofs.faults),
        f"one operator is issued in {show_seconds(roofs.launch.median)}; {roofs.environment.threads} CPU threads",
        peaks,
        f"power: {roofs.meter}",
        *roofs.notes,
        *([warning.removeprefix("; ")] if (warning := unsteady(bursts)) else []),
    )
