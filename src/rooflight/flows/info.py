"""`rooflight info`: what this machine has, what each framework sees of it, and what to do about it."""

import dataclasses
from collections.abc import Callable, Sequence

from rooflight.core.console import Console, Silent
from rooflight.core.tables import Report, Table
from rooflight.core.types import Gpu, GpuSpec, Machine
from rooflight.flows.info_tables import advice_table, framework_table, gpu_table, machine_table

Resolve = Callable[[Gpu], GpuSpec | None]


def info(*, quick: bool = False, console: Console | None = None, resolve: Resolve | None = None) -> Report:
    """CPU, GPUs with their catalogue entries, frameworks and advice.

    quick    ask no framework: what their metadata says, at once
    resolve  the catalogue's entry of a GPU; None: the catalogue at hand
    """
    from rooflight.hardware.advice import advise
    from rooflight.hardware.detect import detect
    from rooflight.hardware.probe import probe
    from rooflight.hardware.surroundings import look_around

    console = console or Silent()
    machine = detect()
    if not quick:
        machine = dataclasses.replace(machine, frameworks=probe(machine.frameworks, say=console.say))
    specs = [resolve(gpu) if resolve else _catalogued(gpu, machine) for gpu in machine.gpus]
    machine = with_specs(machine, specs)
    machine = dataclasses.replace(machine, advice=advise(machine, specs, look_around()))
    return Report(answer=machine, tables=_tables(machine, specs, quick=quick), notes=_notes(machine))


def with_specs(machine: Machine, specs: Sequence[GpuSpec | None]) -> Machine:
    """The machine with what the catalogue knows of each GPU."""
    gpus = tuple(_with_spec(gpu, spec) for gpu, spec in zip(machine.gpus, specs, strict=True))
    return dataclasses.replace(machine, gpus=gpus)


def _with_spec(gpu: Gpu, spec: GpuSpec | None) -> Gpu:
    if spec is None:
        return gpu
    dtypes = dict.fromkeys(rate.dtype for rate in spec.rates if rate.engine == "matrix")
    return dataclasses.replace(gpu, spec=spec.name, matrix_engine=spec.matrix_engine, matrix_dtypes=tuple(dtypes))


def _catalogued(gpu: Gpu, machine: Machine) -> GpuSpec | None:
    """The entry of a GPU's name; modules of Jetson share a name, and differ by the memory that is the CPU's too."""
    from rooflight.catalogue.resolve import resolve

    memory_bytes = machine.cpu.memory_bytes if gpu.unified_memory else gpu.memory_bytes
    return resolve(gpu.name, memory_bytes=memory_bytes, units=gpu.units)


def _tables(machine: Machine, specs: Sequence[GpuSpec | None], *, quick: bool) -> tuple[Table, ...]:
    gpus = [gpu_table(gpu, spec, machine) for gpu, spec in zip(machine.gpus, specs, strict=True)]
    tables = (machine_table(machine), *gpus, framework_table(machine, asked=not quick), advice_table(machine.advice))
    return tuple(table for table in tables if table.rows)


def _notes(machine: Machine) -> tuple[str, ...]:
    none = () if machine.gpus else ("No GPU was found: training and inference run on the CPU.",)
    return (*none, *machine.notes)
