"""Operators timed in a few random networks, and a step predicted from them."""

from dataclasses import replace

import torch

from rooflight.core.codec import from_json, to_json
from rooflight.core.console import Silent
from rooflight.core.types import TimedKernels, Workload
from rooflight.flows.calibrate_kernels import time_kernels
from rooflight.flows.plan_here import predict_recipe
from rooflight.models.resolve import resolve
from tests.flows.conftest import ROOF

CPU = torch.device("cpu")


def test_timed_kernels_are_kept_in_json_and_predict_a_step() -> None:
    timed = time_kernels(CPU, ROOF, ["float32"], networks=4, console=Silent())
    assert timed.networks == 4
    assert timed.low <= timed.high
    assert {"convolution", "convolution_backward", "mm", "_fused_adam"} <= {row.kernel for row in timed.kernels}
    assert from_json(TimedKernels, to_json(timed)) == timed
    cnn = resolve("cnn")
    workload = Workload(
        model="cnn", task="train", batch=8, input_shape=cnn.input_shape, dtype="float32", optimizer="adam"
    )
    _, plain = predict_recipe(cnn, workload, ROOF, CPU)
    _, predicted = predict_recipe(cnn, workload, replace(ROOF, timed=timed), CPU)
    assert predicted.step_seconds != plain.step_seconds
    assert predicted.low <= predicted.samples_per_second <= predicted.high
    assert "4 random networks" in predicted.assumptions[0]


def test_what_a_roof_was_timed_in_is_not_printed() -> None:
    timed = TimedKernels(kernels=(), networks=1, median_error=0.1, low=0.9, high=1.1)
    assert to_json(replace(ROOF, timed=timed)) == to_json(ROOF)
