"""`rooflight info`: what this machine has."""

from rooflight.core.tables import Report, Table
from rooflight.core.types import Gpu, Machine
from rooflight.core.units import show_bytes


def info() -> Report:
    """CPU, GPUs and frameworks. Imports none of the frameworks, so it answers at once."""
    from rooflight.hardware.detect import detect

    machine = detect()
    tables = (_machine_table(machine), _gpu_table(machine), _framework_table(machine))
    notes = (
        machine.notes if machine.gpus else ("No GPU was found: training and inference run on the CPU.", *machine.notes)
    )
    return Report(answer=machine, tables=tuple(table for table in tables if table.rows), notes=notes)


def _machine_table(machine: Machine) -> Table:
    cpu = machine.cpu
    cores = f"{cpu.logical_cores} logical" + (f", {cpu.physical_cores} physical" if cpu.physical_cores else "")
    rows = (
        ("CPU", f"{cpu.model} ({cpu.architecture})"),
        ("cores", cores),
        ("for deep learning", " ".join(cpu.isa) or "no known extension"),
        ("cache", f"L2 {show_bytes(cpu.l2_bytes)}, L3 {show_bytes(cpu.l3_bytes)}"),
        ("memory", show_bytes(cpu.memory_bytes)),
        ("system", f"{machine.system}, Python {machine.python}"),
    )
    return Table(columns=("machine", ""), rows=rows)


def _gpu_table(machine: Machine) -> Table:
    columns = ("GPU", "memory", "free", "compute capability", "power limit", "driver")
    return Table(columns=columns, rows=tuple(_gpu_row(gpu) for gpu in machine.gpus))


def _gpu_row(gpu: Gpu) -> tuple[str, ...]:
    return (
        f"{gpu.index}: {gpu.name}",
        show_bytes(gpu.memory_bytes),
        show_bytes(gpu.free_bytes),
        gpu.compute_capability or "unknown",
        f"{gpu.power_limit_watts:.0f} W" if gpu.power_limit_watts is not None else "unknown",
        gpu.driver_version or "unknown",
    )


def _framework_table(machine: Machine) -> Table:
    rows = []
    for framework in machine.frameworks:
        version = framework.version or "not installed"
        built_for = (f"CUDA {framework.cuda_version}" if framework.cuda_version else "CPU") if framework.version else ""
        rows.append((framework.name, version, built_for))
    return Table(columns=("framework", "version", "built for"), rows=tuple(rows))
