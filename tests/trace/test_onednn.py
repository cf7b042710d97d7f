"""What oneDNN takes inside an operator: sizes that the allocator of a real run (torch 2.14, AVX-512) handed out."""

import pytest
from torch import Tensor, nn

from rooflight.core.types import Workload
from rooflight.trace.tracer import trace


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(128, 128, batch_first=True), nn.Linear(128, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(x)[0][:, -1])
        return out


@pytest.mark.parametrize(("dtype", "kept"), [("float32", 10_240_000), ("bfloat16", 7_225_344)])
def test_what_an_lstm_keeps_for_backward(dtype: str, kept: int) -> None:
    work = Workload(model="words", task="train", batch=64, input_shape=(20, 128), dtype=dtype, optimizer="sgd")
    assert kept in [block.bytes for block in trace(Words, work, device="cpu").lifetimes]
    assert kept not in [block.bytes for block in trace(Words, work).lifetimes]  # a GPU's is cuDNN's


def test_a_convolution_turns_its_tensors_into_blocks() -> None:
    work = Workload(model="conv", task="train", batch=4, input_shape=(3, 28, 28), dtype="float32", optimizer="sgd")
    x, y, weight = 4 * 64 * 28 * 28 * 4, 4 * 128 * 28 * 28 * 4, 128 * 64 * 9 * 4
    model = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 128, 3, padding=1), nn.Flatten(), nn.Linear(128 * 784, 2))
    found = trace(model, work, device="cpu")
    spaces = {block.first_op: block.bytes for block in found.lifetimes if block.role == "workspace"}
    convolutions = [index for index, op in enumerate(found.ops) if "convolution" in op.name]
    # forward: input, weight and output at once, or the output twice; backward: all three beside the gradients
    assert spaces[convolutions[1]] == max(x + weight + y, 2 * y) - y == y
    assert spaces[convolutions[2]] == x + y
    assert not any(block.role == "workspace" for block in trace(model, work).lifetimes)
