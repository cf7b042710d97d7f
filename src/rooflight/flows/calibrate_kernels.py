"""The part of `bench calibrate` that times operators where they run: in random networks, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.types import GpuSpec, Op, Task, TimedKernels

if TYPE_CHECKING:
    import torch

NETWORKS, QUICK_NETWORKS = 120, 40  # about two minutes on two cores; a third of it
GPU_SCALE = 8  # times the batch of a CPU's networks, which would leave a GPU idle
TASKS: tuple[Task, ...] = ("train", "infer")


def time_kernels(
    device: torch.device, spec: GpuSpec, dtypes: Sequence[str], *, networks: int, console: Console
) -> TimedKernels:
    """Every operator of so many random networks, timed in its place; and the error on networks that are held out.

    spec    the device's measured rates
    """
    from rooflight.estimate.measured import held_out, tabulate

    steps = _timed_steps(device, dtypes, networks, console)
    pairs = held_out(steps, spec)
    ratios = [predicted / measured for predicted, measured in pairs]
    tenths = quantiles(ratios, n=10, method="inclusive")
    return TimedKernels(
        kernels=tabulate([(ops, seconds) for _, ops, seconds in steps], spec),
        networks=networks,
        median_error=median(abs(ratio - 1) for ratio in ratios),
        low=tenths[0],
        high=tenths[-1],
    )


def _timed_steps(
    device: torch.device, dtypes: Sequence[str], networks: int, console: Console
) -> list[tuple[int, list[Op], list[float]]]:
    """(number of the network, operators, seconds) of every step."""
    import torch

    from rooflight.bench.specimens import specimen_step, specimens
    from rooflight.trace.timed import time_operators

    found = []
    scale = GPU_SCALE if device.type == "cuda" else 1
    with console.bar("operators in random networks", networks, "networks") as advance:
        for number, specimen in enumerate(specimens(networks, scale=scale)):
            for task in TASKS:
                for dtype in dtypes:
                    step = specimen_step(specimen, task, getattr(torch, dtype), device)
                    timed = time_operators(step, device)
                    found.append((number, [each.op for each in timed], [each.seconds for each in timed]))
            advance(1)
    return found
