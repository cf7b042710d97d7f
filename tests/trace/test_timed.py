"""Operators timed on real tensors: the same Ops as a trace without memory records, with seconds that add up."""

import torch
import torch.nn.functional as F
from torch import nn

from rooflight.core.types import Op, Phase, Workload
from rooflight.trace.timed import Mark, time_operators
from rooflight.trace.tracer import trace

CPU = torch.device("cpu")


def _network() -> nn.Module:
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 9, 5))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _step(mark: Mark, network: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    mark("forward")
    loss = F.cross_entropy(network(x), torch.zeros(len(x), dtype=torch.int64))
    mark("backward")
    loss.backward()
    mark("optimizer")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def test_a_timed_step_has_the_operators_of_its_trace_in_the_same_layouts() -> None:
    network = _network()
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    x = torch.randn(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    timed = time_operators(lambda mark: _step(mark, network, optimizer, x), CPU)
    workload = Workload(
        model="small",
        task="train",
        batch=4,
        input_shape=(3, 8, 8),
        dtype="float32",
        optimizer="adam",
        channels_last=True,
    )
    traced = trace(_network(), workload, device="cpu").ops

    def heavy(ops: tuple[Op, ...]) -> list[tuple[str, Phase, int, object, object]]:
        kinds = ("convolution", "matmul", "pool")
        return [(op.name, op.phase, op.flops, op.product, op.layout) for op in ops if op.kind in kinds]

    assert heavy(tuple(each.op for each in timed)) == heavy(traced)
    assert len(heavy(traced)) == 7  # three forward, and a gradient of pool and convolution and two of the linear layer
    assert all(each.seconds > 0 for each in timed)


def test_a_step_that_takes_another_path_each_time_gives_nothing() -> None:
    calls = [0]

    def step(mark: Mark) -> None:
        calls[0] += 1
        x = torch.ones(4)
        for _ in range(calls[0]):
            x = x + 1

    assert time_operators(step, CPU) == ()
