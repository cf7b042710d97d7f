"""The time to issue an operator, from Python to the device's queue."""

from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rooflight.bench.timing import summarise, synchronise
from rooflight.core.types import Measurement


def launch_time(device: torch.device, *, blocks: int = 11, calls: int = 20) -> Measurement:
    """Host seconds for each operator of a training step whose tensors are as good as empty.

    Autograd and Python are part of it: eight small dense layers go forward, backward and through a fused optimizer,
    and the time is divided by the operators that were dispatched, views left out as a trace leaves them out. On a GPU
    only the issuing is timed: a block is short enough for the queue to take it without waiting.
    """
    layers = [layer for _ in range(8) for layer in (nn.Linear(4, 4), nn.ReLU())]
    model = nn.Sequential(*layers).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x = torch.ones(4, 4, device=device)

    def step() -> None:
        model(x).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()  # the optimizer's state is made in the first step
    with _Dispatched() as dispatched:  # type: ignore[no-untyped-call]
        step()
    seconds = []
    for _ in range(blocks + 1):
        start = perf_counter()
        for _ in range(calls):
            step()
        seconds.append((perf_counter() - start) / (calls * dispatched.count))
        synchronise(device)
    return summarise(seconds[1:], name="issue one operator of a training step", unit="s")  # the first block warms up


class _Dispatched(TorchDispatchMode):
    """Counts the operators that reach the device's kernels."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))
