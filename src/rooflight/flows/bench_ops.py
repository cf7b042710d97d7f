"""`rooflight bench ops`: operators in variants that take turns, each with its place under the roof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.console import Console, Silent
from rooflight.core.files import refuse_unwritable
from rooflight.core.roofs import OperatorRate, Operators
from rooflight.core.tables import Report, Table
from rooflight.core.types import Machine, Measurement, Trace, Workload
from rooflight.core.units import show_bytes_per_second, show_flops_per_second, show_percent, show_seconds
from rooflight.flows.answer import keep_answer
from rooflight.flows.bench_roofs import last_cache_bytes
from rooflight.flows.roof import device_name, find_roof, too_low

if TYPE_CHECKING:
    import torch

    from rooflight.bench.operators import Operator
    from rooflight.bench.variants import Roof


def bench_ops(
    *,
    device: str = "auto",
    operators: Sequence[str] = (),
    out: Path | None = None,
    calibration: str = "auto",
    console: Console | None = None,
) -> Report:
    """What a library, a layout, a dtype, Tensor Cores or a GPU are worth, operator by operator.

    operators    which of them; empty: all
    out          a file that gets the JSON answer
    calibration  the roof that shares are of, as in plan
    """
    import torch

    from rooflight.bench.operators import pick_operators
    from rooflight.bench.rates import load_average, native_dtypes
    from rooflight.bench.variants import measure_operators, variants
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.train.device import pick_device

    console = console or Silent()
    if out is not None:
        refuse_unwritable(out)
    where, why = pick_device(device)
    chosen = pick_operators(where, operators)
    machine = detect()
    name, threads = device_name(where, machine), torch.get_num_threads()
    console.say(f"device {where}, {name} ({why}), {threads} CPU threads")
    load = load_average()
    dtypes, _ = native_dtypes(where)
    roof = device_roof(where, machine, dtypes, calibration=calibration, console=console)
    rows, skipped = measure_operators(
        chosen,
        variants(where, dtypes),
        names={where.type: name, "cpu": machine.cpu.model},
        roof=roof,
        work=operator_work,
        observe=lambda row: console.say(
            f"{row.operator}, {row.size}, {row.variant}: {show_seconds(row.measured.median)}"
        ),
    )
    notes = (
        "forward passes; the variants of an operator took turns, and speedups are medians over the rounds",
        f"share: least time by the roof / measured time; the roof is {roof.spec.source}",
        load,
        *skipped,
        *_vector_note(where, rows),
        *too_low("a share", (row.share for row in rows)),
    )
    answer = Operators(
        device=name,
        environment=environment(name, threads=threads),
        roof=roof.spec,
        cache_bytes=roof.cache_bytes,
        cache_bytes_per_second=roof.cache_bytes_per_second,
        rows=rows,
        notes=notes,
    )
    return keep_answer(Report(answer=answer, tables=_tables(rows), notes=notes), out)


def device_roof(
    device: torch.device,
    machine: Machine,
    dtypes: tuple[str, ...],
    *,
    calibration: str,
    console: Console,
    observe: Callable[[Measurement], object] = lambda measurement: None,
) -> Roof:
    """The device's roof, with the bandwidth of its last cache."""
    from importlib.util import find_spec

    from rooflight.bench.bandwidth import cache_load, cache_set_bytes
    from rooflight.bench.timing import measure_load
    from rooflight.bench.variants import Roof

    spec = find_roof(device, machine, dtypes, console=console, calibration=calibration, observe=observe)
    inside = cache_set_bytes(device, last_cache_bytes(device, machine))
    if inside is None or (device.type == "cuda" and find_spec("triton") is None):
        return Roof(spec=spec)
    bandwidth = measure_load(cache_load(device, inside), device).median
    return Roof(spec=spec, cache_bytes=2 * inside, cache_bytes_per_second=bandwidth)


def operator_work(operator: Operator, dtype: torch.dtype) -> tuple[int, int]:
    """FLOPs and bytes of an operator, counted as in every trace."""
    traced = trace_operator(operator, dtype)
    return traced.flops, traced.bytes


@cache
def trace_operator(operator: Operator, dtype: torch.dtype) -> Trace:
    """One forward pass of the operator, without memory."""
    import torch

    from rooflight.trace.tracer import trace

    cpu, name = torch.device("cpu"), str(dtype).removeprefix("torch.")
    workload = Workload(
        model=operator.operator,
        task="infer",
        batch=1,
        input_shape=operator.shape,
        dtype=name,
        parameter_dtype=name,  # no autocast: the operator is built in its dtype
    )
    return trace(lambda: operator.build(dtype, cpu), workload, make_input=lambda _: operator.make_input(dtype, cpu))


def _vector_note(device: torch.device, rows: Sequence[OperatorRate]) -> tuple[str, ...]:
    """float16 with Tensor Cores off: no switch does that, so that the vector units are measured by a kernel."""
    from importlib.util import find_spec

    best = max((row.flops_per_second for row in rows if row.dtype == "float16"), default=None)
    if device.type != "cuda" or best is None or find_spec("triton") is None:
        return ()
    import torch

    from rooflight.bench.kernels import fma_load
    from rooflight.bench.timing import measure_load

    vector = measure_load(fma_load(device, torch.float16, "chains of FMA float16"), device).median
    return (
        f"float16 without Tensor Cores: vector units reach {show_flops_per_second(vector)}; the best operator above "
        f"runs at {show_flops_per_second(best)}, {best / vector:.1f} times that",
    )


# ---------------------------------------------------------------- for people


def _tables(rows: Sequence[OperatorRate]) -> tuple[Table, ...]:
    """One table an operator and size, as its variants are what to compare."""
    sizes = dict.fromkeys((row.operator, row.size) for row in rows)
    return tuple(
        _table(operator, size, [row for row in rows if (row.operator, row.size) == (operator, size)])
        for operator, size in sizes
    )


def _table(operator: str, size: str, rows: Sequence[OperatorRate]) -> Table:
    cells = []
    for row in rows:
        rate: Callable[[float | None], str] = (
            show_flops_per_second if row.bound_by == "compute" else show_bytes_per_second
        )
        reached = row.flops_per_second if row.bound_by == "compute" else row.bytes_per_second
        cells.append(
            (
                row.variant,
                show_seconds(row.measured.median),
                f"{row.speedup:.2f}×",
                rate(reached),
                row.bound_by or "unknown",
                show_percent(row.share),
            )
        )
    columns = ("variant", "time", "speedup", "reached", "bound by", "share of roof")
    return Table(title=f"{operator}, {size}", columns=columns, rows=tuple(cells))
