"""Operators timed in a few random networks, and a step predicted from them."""

from dataclasses import replace

import torch

from rooflight.core.codec import from_json, to_json
from rooflight.core.console import Silent
from rooflight.core.types import TimedKernels
from rooflight.flows.calibrate_kernels import time_kernels
from rooflight.flows.plan_here import predict_step, workload_of
from tests.flows.conftest import ROOF

CPU = torch.device("cpu")


def test_timed_kernels_are_kept_in_json_and_predict_a_step() -> None:
    timed = time_kernels(CPU, ROOF, ["float32"], networks=4, console=Silent())
    assert timed.networks == 4
    assert timed.low <= timed.high
    assert {"convolution", "convolution_backward", "mm", "_fused_adam"} <= {row.kernel for row in timed.kernels}
    assert from_json(TimedKernels, to_json(timed)) == timed
    workload = workload_of("cnn", task="train", batch=8, dtype="float32")
    _, plain = predict_step(workload, ROOF, CPU)
    _, predicted = predict_step(workload, replace(ROOF, timed=timed), CPU)
    assert predicted.step_seconds != plain.step_seconds
    assert predicted.low <= predicted.samples_per_second <= predicted.high
    assert "4 random networks" in predicted.assumptions[0]


def test_what_a_roof_was_timed_in_is_not_printed() -> None:
    timed = TimedKernels(kernels=(), networks=1, median_error=0.1, low=0.9, high=1.1)
    assert to_json(replace(ROOF, timed=timed)) == to_json(ROOF)
