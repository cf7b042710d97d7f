"""The commands under `rooflight bench`: each takes its flags and calls its flow."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rooflight.cli.commands import Device, Json, console
from rooflight.core.tables import Report

Out = Annotated[Path | None, Parameter(help="also write the JSON document to this file")]
Names = tuple[str, ...]


def many(help: str) -> Parameter:
    """A flag that takes several words, and commas between them."""
    return Parameter(help=help, consume_multiple=True, negative="", show_default=False)


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


BENCH: tuple[Callable[..., Any], ...] = (frameworks,)
