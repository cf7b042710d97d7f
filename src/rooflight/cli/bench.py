"""The commands under `rooflight bench`: each takes its flags and calls its flow."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rooflight.cli.commands import Device, Json, console
from rooflight.cli.console import draws_braille
from rooflight.core.tables import Report

Out = Annotated[Path | None, Parameter(help="also write the JSON document to this file")]
Names = tuple[str, ...]


def many(help: str) -> Parameter:
    """A flag that takes several words, and commas between them."""
    return Parameter(help=help, consume_multiple=True, negative="", show_default=False)


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
    quick: Annotated[bool, Parameter(negative="", help="a third of the networks that operators are timed in")] = False,
    out: Annotated[Path | None, Parameter(help="the file [default: one for this device in the cache folder]")] = None,
    force: Annotated[bool, Parameter(negative="", help="write it even if the machine was busy")] = False,
    json: Json = False,
) -> Report:
    """Measure this device's roof and its operators once: plan, train and demo predict from them then, and say so."""
    from rooflight.flows.calibrate import calibrate as flow

    return flow(device=device, quick=quick, out=out, force=force, console=console())


def frameworks(
    *,
    model: Annotated[Names, many("cnn, lstm, vgg16 [default: all]")] = (),
    batch: Annotated[
        int | None, Parameter(help="samples per step [default: 128; vgg16 8 on a CPU, 64 on a GPU]")
    ] = None,
    frameworks: Annotated[
        Names, many("keras-tensorflow, keras-jax, keras-torch, pytorch, rooflight [default: all]")
    ] = (),
    dtype: Annotated[
        Literal["float32", "bfloat16"], Parameter(help="dtype of the matrix products, for all")
    ] = "float32",
    rounds: Annotated[int, Parameter(help="how often each is run, in turn")] = 3,
    seconds: Annotated[float, Parameter(help="of training that a process times, at least")] = 2.0,
    limit: Annotated[float, Parameter(help="seconds after which a process is ended")] = 900.0,
    device: Device = "auto",
    out: Out = None,
    json: Json = False,
) -> Report:
    """The classic CNN, LSTM and VGG16 in Keras on TensorFlow, JAX and torch, in PyTorch and in Rooflight."""
    from rooflight.flows.frameworks import frameworks as flow

    return flow(
        models=model,
        batch=batch,
        names=frameworks,
        dtype=dtype,
        rounds=rounds,
        seconds=seconds,
        limit_seconds=limit,
        device=device,
        out=out,
        console=console(),
    )


def mlperf(
    target: Annotated[
        str, Parameter(help="a model's name (random weights), a run folder, or an exported file")
    ] = "cnn",
    *,
    scenario: Annotated[Names, many("SingleStream, MultiStream, Offline, Server [default: all]")] = (),
    runtime: Annotated[
        Literal["auto", "pytorch", "onnx", "torch-export"], Parameter(help="auto: the fastest that runs here")
    ] = "auto",
    seconds: Annotated[float, Parameter(help="that a test lasts, at least; MLPerf's own rules ask for 600")] = 5.0,
    target_latency_ms: Annotated[
        float | None, Parameter(help="that 99 % of Server's queries must keep [default: 15, or five single calls]")
    ] = None,
    fallback: Annotated[bool, Parameter(negative="", help="our own loop even where LoadGen is installed")] = False,
    device: Device = "auto",
    out: Out = None,
    json: Json = False,
) -> Report:
    """MLPerf-style scenarios by LoadGen, unverified: latency alone, throughput, and a server under load."""
    from rooflight.flows.mlperf import mlperf as flow

    return flow(
        target,
        scenarios=scenario,
        runtime=runtime,
        seconds=seconds,
        target_latency_seconds=None if target_latency_ms is None else target_latency_ms / 1e3,
        device=device,
        fallback=fallback,
        out=out,
        console=console(),
    )


def links(
    *,
    gpus: Annotated[
        int | None, Parameter(help="how many; with gloo, processes [default: all GPUs; 2 processes]")
    ] = None,
    sizes: Annotated[Names, many("of the message [default: 512 16KiB 512KiB 16MiB, on GPUs also 512MiB]")] = (),
    backend: Annotated[Literal["auto", "nccl", "gloo"], Parameter(help="auto: nccl with two GPUs or more")] = "auto",
    limit: Annotated[float, Parameter(help="seconds after which ranks that are not done are ended")] = 300.0,
    out: Out = None,
    json: Json = False,
) -> Report | None:
    """How fast do GPUs, or processes, talk? Collectives by message size, started here or under torchrun."""
    from rooflight.flows.links import links as flow

    words = [size for word in sizes for size in word.split(",") if size]
    return flow(gpus=gpus, sizes=words, backend=backend, limit_seconds=limit, out=out, console=console())


BENCH: tuple[Callable[..., Any], ...] = (roofs, ops, frameworks, mlperf, links, calibrate)
