"""Peaks of memory that are known by hand."""

import os
import subprocess
import sys

import pytest
import torch

from rooflight.bench.memory import peak, peak_tensor_bytes
from rooflight.core.errors import BackendError

CPU = torch.device("cpu")
MEGA = 1_000_000  # float32 elements; a tensor of them takes 4 MB


def test_two_tensors_alive_at_once() -> None:
    def run() -> None:
        a = torch.empty(MEGA)  # 4 MB
        b = torch.empty(2 * MEGA)  # 12 MB: the peak
        del a  # 8 MB
        c = torch.empty(MEGA // 2)  # 10 MB
        del b, c

    assert peak_tensor_bytes(run, CPU) == 12 * MEGA


def test_what_was_alive_before_does_not_count() -> None:
    before = torch.ones(MEGA)
    assert peak_tensor_bytes(lambda: torch.mul(before, before), CPU) == 4 * MEGA
    assert peak_tensor_bytes(lambda: before.mul_(before), CPU) == 0


def test_views_are_free() -> None:
    before = torch.ones(1000, 1000)
    assert peak_tensor_bytes(lambda: before.t()[:500].reshape(-1)[:10], CPU) == 4 * 500 * 1000  # reshape copies, once


def test_a_training_step_by_hand() -> None:
    x, W = torch.randn(1000, 500), torch.randn(500, 200, requires_grad=True)
    h = 4 * 1000 * 200  # bytes of y = x·W

    def run() -> None:
        y = x @ W
        loss = torch.mul(y, y).sum()
        loss.backward()

    # The backward of y·y keeps y and makes a product for each of its two factors; the loss and its gradient are a
    # number each. Before that only y and y·y are alive, after it a y's gradient and W's, of half its size or less.
    assert peak_tensor_bytes(run, CPU) == 3 * h + 4 + 4
    assert W.grad is not None


def test_a_warm_up_call_makes_its_leavings_known() -> None:
    W = torch.randn(1000, requires_grad=True)
    x = torch.ones(1000)

    def run() -> None:
        W.grad = None  # frees what the last call left
        torch.mul(W, x).backward(x)

    first = peak_tensor_bytes(run, CPU)
    again = peak_tensor_bytes(run, CPU, warm_up=1)
    # Both hold the product and the gradient at once; the second has a gradient less at its start.
    assert first == 8000
    assert again == 8000 - 4000


def test_peak_of_changes() -> None:
    assert peak([]) == 0
    assert peak([-5, 3]) == 0  # below the start all along
    assert peak([4, 8, -4, 2, -10]) == 12


def test_an_error_of_the_callable_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        peak_tensor_bytes(lambda: 1 / 0, CPU)
    assert peak_tensor_bytes(lambda: torch.empty(10), CPU) == 40  # and the profiler is free again


def test_other_devices_are_refused() -> None:
    with pytest.raises(BackendError, match="meta"):
        peak_tensor_bytes(lambda: None, torch.device("meta"))


def test_the_profiler_is_quiet_and_the_environment_put_back() -> None:
    program = (
        "import os, torch; from rooflight.bench.memory import peak_tensor_bytes;"
        "print(peak_tensor_bytes(lambda: torch.empty(1000), torch.device('cpu')), os.environ.get('KINETO_LOG_LEVEL'))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "KINETO_LOG_LEVEL"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert (answer.stdout.strip(), answer.stderr) == ("4000 None", "")


@pytest.mark.gpu
def test_the_peak_on_a_gpu() -> None:
    device = torch.device("cuda")
    torch.empty(1, device=device)

    def run() -> None:
        a = torch.empty(1 << 20, device=device)
        b = torch.empty(2 << 20, device=device)
        del a, b

    assert peak_tensor_bytes(run, device) == 4 * (3 << 20)
