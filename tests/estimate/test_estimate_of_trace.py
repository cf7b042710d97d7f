"""The two rooms together: a real model's trace, its memory and its estimate."""

from dataclasses import replace

import pytest
from torch import nn

from rooflight.core.types import GpuSpec, Workload
from rooflight.estimate.memory import max_batch, peak
from rooflight.estimate.roofline import estimate
from rooflight.trace.tracer import trace

TRAIN = Workload(model="small", task="train", batch=8, input_shape=(3, 16, 16), dtype="bfloat16", optimizer="adam")
# Published figures, rounded; the test asks for order and consistency, not for these numbers.
H100 = GpuSpec(
    name="H100 SXM5 80GB",
    memory_bytes=80 * 2**30,
    bytes_per_second=3.35e12,
    flops_per_second={"float32": 67e12, "bfloat16": 989e12},
    launch_seconds=5e-6,
    source="NVIDIA H100 data sheet; launch time assumed",
)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 7 * 7, 10))


@pytest.mark.parametrize("task", ["train", "infer"])
def test_the_largest_batch_is_exact(task: str) -> None:
    workload = replace(TRAIN, task=task, optimizer="adam" if task == "train" else None)
    memory = 5_000_000
    batch = max_batch(trace(small, workload), trace(small, replace(workload, batch=16)), memory)
    assert batch is not None
    assert trace(small, replace(workload, batch=batch)).peak_bytes <= memory
    assert trace(small, replace(workload, batch=batch + 1)).peak_bytes > memory


def test_the_peak_of_the_timeline_is_the_trace_s() -> None:
    found = trace(small, TRAIN)
    assert peak(found).bytes == found.peak_bytes == sum(peak(found).by_role.values())
    assert peak(found).by_role["parameter"] == found.parameter_bytes


def test_a_small_batch_waits_for_the_host_and_a_large_one_for_the_device() -> None:
    little, large = (estimate(trace(small, replace(TRAIN, batch=batch)), H100) for batch in (8, 2**20))
    assert little.bound_by == "launch"
    assert large.bound_by == "memory"
    assert little.step_seconds == pytest.approx(5e-6 * len(trace(small, TRAIN).ops))
    assert large.samples_per_second > little.samples_per_second
