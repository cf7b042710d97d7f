"""Where a step goes: events by hand, and two real steps whose answer is known beforehand."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.train.profile import BATCH, OPTIMIZER, device_seconds, host_seconds, profile_steps, step_times

CPU = torch.device("cpu")


@dataclass
class Kernel:
    duration: float


@dataclass
class Event:
    """As the profiler gives them: microseconds, and a tree."""

    name: str
    self_cpu_time_total: float = 0.0
    cpu_children: list["Event"] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    cpu_parent: "Event | None" = None


def tree(event: Event) -> list[Event]:
    """The event and all below it, each knowing its parent."""
    found = [event]
    for child in event.cpu_children:
        child.cpu_parent = event
        found += tree(child)
    return found


STEP = [
    *tree(Event(BATCH, 5.0, [Event("aten::copy_", 900.0, kernels=[Kernel(800.0)])])),
    *tree(
        Event("aten::conv2d", 1.0, [Event("aten::mkldnn_convolution", 99.0, [Event("aten::empty", 10.0)], [Kernel(7)])])
    ),
    *tree(
        Event(
            "autograd::engine::evaluate_function: ReluBackward0",
            3.0,
            [Event("ReluBackward0", 2.0, [Event("aten::threshold_backward", 40.0, kernels=[Kernel(4), Kernel(1)])])],
        )
    ),
    *tree(Event("Optimizer.step#Adam.step", 20.0, [Event("aten::_fused_adam_", 30.0, kernels=[Kernel(2)])])),
]


def test_a_cpu_spends_its_time_in_the_outermost_operator() -> None:
    assert host_seconds(STEP) == pytest.approx(
        {"aten::conv2d": 110e-6, "aten::threshold_backward": 40e-6, OPTIMIZER: 50e-6}
    )


def test_a_gpu_spends_it_in_the_kernels_that_operators_issued() -> None:
    assert device_seconds(STEP) == pytest.approx(
        {"aten::conv2d": 7e-6, "aten::threshold_backward": 5e-6, OPTIMIZER: 2e-6}
    )


def test_what_the_profiler_costs_is_taken_out() -> None:
    """Under it a step of 10 ms takes 16 ms, of which operators 12: three quarters of 10 ms are theirs."""
    times = step_times([(8, 0.002, 0.010)] * 4, [(8, 0.002, 0.016)] * 4, {"aten::mm": 0.036, "aten::relu": 0.012})
    assert times.step_seconds == pytest.approx(0.010)
    assert times.data_seconds == pytest.approx(0.002)
    assert times.busy_seconds == pytest.approx(0.0075)
    assert times.seconds_of == pytest.approx({"aten::mm": 0.005625, "aten::relu": 0.001875})


def batches(count: int, wait: float = 0.0) -> Iterator[tuple[Tensor, Tensor]]:
    for _ in range(count):
        time.sleep(wait)
        yield torch.randn(64, 256), torch.randint(10, (64,))


def trainer(width: int) -> Any:
    model = nn.Sequential(nn.Linear(256, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(inputs: Tensor, labels: Tensor) -> None:
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def test_a_starved_step_waits_for_its_data() -> None:
    times = profile_steps(trainer(16), batches(40, wait=0.02), CPU, seconds=0.0)
    assert times.data_seconds > 0.018
    assert times.data_seconds > 2 * times.step_seconds
    assert times.samples == 64


def test_a_step_of_large_products_is_in_its_products() -> None:
    times = profile_steps(trainer(2048), batches(40), CPU, seconds=0.0)
    products = sum(seconds for name, seconds in times.seconds_of.items() if "mm" in name or "linear" in name)
    assert products > 0.5 * times.step_seconds
    assert times.data_seconds < 0.2 * times.step_seconds
    assert sum(times.seconds_of.values()) == pytest.approx(times.busy_seconds)
    assert times.busy_seconds <= times.step_seconds


def test_data_that_end_too_soon_are_told() -> None:
    with pytest.raises(ConfigError, match="smaller --batch"):
        profile_steps(trainer(16), batches(3), CPU, seconds=0.0)


@pytest.mark.gpu
def test_a_gpu_spends_a_step_of_large_products_in_their_kernels() -> None:
    device = torch.device("cuda")
    model = nn.Sequential(nn.Linear(256, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.Linear(4096, 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(inputs: Tensor, labels: Tensor) -> None:
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    fed = ((torch.randn(4096, 256, device=device), torch.randint(10, (4096,), device=device)) for _ in range(300))
    times = profile_steps(step, fed, device, seconds=0.0)
    products = sum(seconds for name, seconds in times.seconds_of.items() if "mm" in name or "linear" in name)
    assert products > 0.5 * times.step_seconds
    assert times.busy_seconds <= times.step_seconds
