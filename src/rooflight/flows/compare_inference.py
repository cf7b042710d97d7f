"""A pass of a trained model beside what the calibration of this machine says of it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from rooflight.core.errors import TraceError
from rooflight.core.runs import Checkpoint
from rooflight.core.types import Comparison, Workload
from rooflight.flows.compare import compare, predicted_on

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

REPEATS = 7
LONG_SECONDS = 2.0  # of all repeats together


def compare_inference(
    model: nn.Module, checkpoint: Checkpoint, batch: Tensor, device: torch.device
) -> tuple[tuple[Comparison, ...], str]:
    """Seconds of one batch, predicted and measured, and what the prediction rests on.

    batch    on the device, as the model takes it
    returns  no comparison where this device has no calibration, and a sentence that says so
    """
    from rooflight.estimate.roofline import estimate
    from rooflight.flows.calibration import calibrated_roof
    from rooflight.hardware.detect import detect
    from rooflight.trace.tracer import trace

    roof, why = calibrated_roof(device, detect(), ("float32",), None)
    if roof is None:
        return (), f"No prediction to compare with ({why}): rooflight bench calibrate, once, makes it possible."
    workload = Workload(
        model=checkpoint.model,
        task="infer",
        batch=len(batch),
        input_shape=tuple(batch.shape[1:]),
        dtype="float32",
        channels_last=True,
    )
    like = batch.cpu()  # in its memory format
    try:
        traced = trace(model, workload, make_input=lambda workload: like, device="cuda" if batch.is_cuda else "cpu")
    except TraceError as error:
        return (), f"No prediction to compare with: {error}"
    predicted = estimate(traced, roof, asynchronous=batch.is_cuda)
    name = f"a batch of {len(batch)} through the model"
    measured = _seconds(model, batch)
    return (compare(name, "s", predicted.step_seconds, measured),), predicted_on(roof)


def _seconds(model: nn.Module, batch: Tensor) -> float:
    """Median time of a pass, after one that warms up."""
    import torch

    taken: list[float] = []
    with torch.inference_mode():
        while len(taken) <= REPEATS and sum(taken) < LONG_SECONDS:
            begin = time.perf_counter()
            model(batch)
            if batch.is_cuda:
                torch.cuda.synchronize(batch.device)
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:] or taken)
