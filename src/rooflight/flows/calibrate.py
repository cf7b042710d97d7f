"""`rooflight bench calibrate`: this device's measured roof, kept for every later prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rooflight.core.codec import to_json
from rooflight.core.console import Console, Silent
from rooflight.core.files import refuse_unwritable, write_file
from rooflight.core.roofs import Calibration, OperatorRate
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuSpec, Measurement, TimedKernels
from rooflight.core.units import show_bytes_per_second, show_flops_per_second, show_percent, show_seconds
from rooflight.flows import calibrate_kernels
from rooflight.flows.bench_ops import device_roof, operator_work, trace_operator
from rooflight.flows.calibration import calibration_path
from rooflight.flows.roof import device_name

if TYPE_CHECKING:
    import torch

CLASSES = ("matmul", "attention", "LSTM")  # convolutions are measured with the roof, forward and backward
PLAIN = ("float32", "TF32 Tensor Cores", "bfloat16", "float16")  # the variants that a roof has rates of
STABLE = 0.2  # rates of a class within this part of their median are one rate


def calibrate(
    *,
    device: str = "auto",
    quick: bool = False,
    out: Path | None = None,
    force: bool = False,
    console: Console | None = None,
) -> Report:
    """Measure the roof and time operators in random networks, and write both where `plan`, `train` and `demo` look.

    quick   a third of the networks

    out     another file; it is used where it is named: plan --calibration FILE
    force   write it even if the machine was busy or a measurement unsteady
    returns exit code 1 if it was not written for that
    raises  OSError if the file cannot be written
    """
    import torch

    from rooflight.bench.operators import pick_operators
    from rooflight.bench.rates import native_dtypes, unsteady
    from rooflight.bench.variants import measure_operators, variants
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.hardware.process import busy_words, keep_freed_memory
    from rooflight.train.device import pick_device

    console = console or Silent()
    where, why = pick_device(device)
    machine = detect()
    name = device_name(where, machine)
    settings = keep_freed_memory() if where.type == "cpu" else ()  # as plan, train and demo have it
    path = out or calibration_path(name, str(torch.__version__))
    if out is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    refuse_unwritable(path)
    console.say(f"device {where}, {name} ({why}), {torch.get_num_threads()} CPU threads")
    busy = busy_words() if where.type == "cpu" else None
    taken: list[Measurement] = []
    dtypes, _ = native_dtypes(where)
    roof = device_roof(where, machine, dtypes, calibration="none", console=console, observe=taken.append)
    rows, skipped = measure_operators(
        pick_operators(where, CLASSES),
        [each for each in variants(where, dtypes) if each.name in PLAIN],
        names={where.type: name},
        roof=roof,
        work=operator_work,
        observe=lambda row: console.say(
            f"{row.operator}, {row.size}, {row.variant}: {show_flops_per_second(row.flops_per_second)}"
        ),
    )
    rates, notes = class_rates(rows, kinds(where))
    spec = replace(roof.spec, kind_flops_per_second={**rates, **roof.spec.kind_flops_per_second})
    count = calibrate_kernels.QUICK_NETWORKS if quick else calibrate_kernels.NETWORKS
    torch_dtypes = [dtype for dtype in dtypes if dtype != "tfloat32"]  # a mode of float32's products, off by default
    timed = calibrate_kernels.time_kernels(where, spec, torch_dtypes, networks=count, console=console)
    doubts = "; ".join(words for words in (busy, unsteady(taken).removeprefix("; ")) if words)
    notes = (*([f"! {doubts}"] if doubts else []), *notes, *skipped)
    answer = Calibration(
        device=name,
        torch_version=str(torch.__version__),
        environment=environment(name, threads=torch.get_num_threads(), settings=settings),
        roof=spec,
        timed=timed,
        notes=notes,
    )
    if written := force or not doubts:
        write_file(path, to_json(answer, indent=None) + "\n")
        use = f"rooflight plan --calibration {path} uses it" if out else "plan, train and demo use it from now on"
        last = f"written to {path}: {use}"
    else:
        last = f"not written, as the rates may be far too low: {doubts}. Try again when nothing else runs, or --force."
    return Report(
        answer=replace(answer, timed=replace(timed, kernels=())),  # the table of kernels is for the file alone
        tables=(_table(answer.roof, timed),),
        notes=(roof.spec.source, *notes, last),
        exit_code=0 if written else 1,
    )


def kinds(device: torch.device) -> Mapping[tuple[str, str], str]:
    """(operator, size) → its kind in a trace: of the traced operator with the most FLOPs."""
    import torch

    from rooflight.bench.operators import pick_operators

    traces = {
        (each.operator, each.size): trace_operator(each, torch.float32) for each in pick_operators(device, CLASSES)
    }
    return {key: max(traced.ops, key=lambda op: op.flops).kind for key, traced in traces.items()}


def class_rates(
    rows: Sequence[OperatorRate], kinds: Mapping[tuple[str, str], str]
) -> tuple[Mapping[str, Mapping[str, float]], tuple[str, ...]]:
    """Kind of operator → dtype → FLOP/s, where the sizes of a kind agree; and a sentence for each that do or do not."""
    by_class: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        by_class.setdefault((kinds[row.operator, row.size], row.dtype), []).append(row.flops_per_second)
    rates: dict[str, dict[str, float]] = {}
    notes = []
    for (kind, dtype), found in by_class.items():
        middle = median(found)
        spread = max(abs(rate / middle - 1) for rate in found)
        words = f"{kind} {dtype}: {len(found)} sizes within {show_percent(spread)} of {show_flops_per_second(middle)}"
        if spread <= STABLE:
            rates.setdefault(kind, {})[dtype] = middle
            notes.append(words)
        else:
            notes.append(f"{words}, too far apart for one rate: predictions take the best product's")
    return rates, tuple(notes)


def _table(roof: GpuSpec, timed: TimedKernels) -> Table:
    rows = [(f"best product, {dtype}", show_flops_per_second(rate)) for dtype, rate in roof.flops_per_second.items()]
    rows += [
        (f"{kind}, {dtype}", show_flops_per_second(rate))
        for kind, by_dtype in roof.kind_flops_per_second.items()
        for dtype, rate in by_dtype.items()
    ]
    rows += [
        ("memory, copy", show_bytes_per_second(roof.bytes_per_second)),
        ("issue one operator", show_seconds(roof.launch_seconds)),
        (
            "steps of held-out networks",
            f"predicted within {show_percent(timed.median_error)} (median of {timed.networks})",
        ),
    ]
    return Table(columns=(roof.name, "measured"), rows=tuple(rows))
