"""The commands under `rooflight bench`: each takes its flags and calls its flow."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from rooflight.cli.commands import Device, Json, console
from rooflight.cli.console import draws_braille
from rooflight.core.tables import Report

Out = Annotated[Path | None, Parameter(help="a file for the answer as JSON")]


def roofs(
    *,
    device: Device = "auto",
    dtype: Annotated[
        tuple[str, ...], Parameter(negative="", help="of the products, may be given again [none: the device's own]")
    ] = (),
    seconds: Annotated[float, Parameter(help="for all; what the bursts leave goes to sustained runs")] = 50.0,
    out: Out = None,
    json: Json = False,
) -> Report:
    """FLOP/s by dtype, bandwidths and launches against the dense peaks, with power and clock where there is a meter."""
    from rooflight.flows.bench_roofs import bench_roofs as flow

    return flow(
        device=device, dtypes=dtype, seconds=seconds, out=out, ascii_only=not draws_braille(), console=console()
    )


def ops(
    *,
    device: Device = "auto",
    operator: Annotated[
        tuple[str, ...],
        Parameter(negative="", help="convolution, matmul, attention, LSTM, …; may be given again [none: all]"),
    ] = (),
    calibration: Annotated[str, Parameter(help="the roof for the shares, as in plan: auto, none or a file")] = "auto",
    out: Out = None,
    json: Json = False,
) -> Report:
    """Operators at real sizes: CPU against GPU, Tensor Cores, libraries, layouts and dtypes on against off."""
    from rooflight.flows.bench_ops import bench_ops as flow

    return flow(device=device, operators=operator, out=out, calibration=calibration, console=console())


def calibrate(
    *,
    device: Device = "auto",
    out: Annotated[Path | None, Parameter(help="the file [default: one for this device in the cache folder]")] = None,
    json: Json = False,
) -> Report:
    """Measure this device's roof once and keep it: plan, train and demo use it from then on, and say so."""
    from rooflight.flows.calibrate import calibrate as flow

    return flow(device=device, out=out, console=console())


BENCH: tuple[Callable[..., Any], ...] = (roofs, ops, calibrate)
