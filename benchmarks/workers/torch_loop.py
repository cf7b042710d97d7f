"""A plain PyTorch loop.

Variants: loader-0 and loader-2 (a DataLoader with so many workers), memory-0 (sliced tensors, fused Adam); each also
with -bfloat16 behind it (autocast).
"""

import time
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from network import accuracy, build, tensors
from task import read_task
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from rooflight.bench.contender import LEARNING_RATE

task = read_task()


class Sliced:
    """The set in memory, shuffled by a permutation each epoch."""

    def __init__(self, samples: Tensor, labels: Tensor) -> None:
        self.samples, self.labels = samples, labels

    def __iter__(self) -> Iterable[tuple[Tensor, Tensor]]:
        for chosen in torch.randperm(len(self.labels)).split(task.batch):
            yield self.samples[chosen], self.labels[chosen]


def main() -> None:
    """Train the epochs, evaluate."""
    torch.set_num_threads(task.threads)
    x_train, y_train, x_test, y_test = tensors(task.arrays())
    record = task.record(len(x_train))
    kind, workers, *precision = task.variant.split("-")
    if kind == "loader":
        batches = DataLoader(
            TensorDataset(x_train, y_train),
            batch_size=task.batch,
            shuffle=True,
            num_workers=int(workers),
            persistent_workers=workers != "0",
        )
    else:
        batches = Sliced(x_train, y_train)
    model = build(task.model)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=kind == "memory")
    for _ in range(task.epochs):
        begin = time.perf_counter()
        for samples, labels in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=bool(precision)):
                loss = F.cross_entropy(model(samples), labels)
            loss.backward()
            optimizer.step()
            record.first_step_done()
        record.epoch_done(time.perf_counter() - begin)
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=accuracy(model, x_test, y_test),
        versions={"torch": torch.__version__},
    )


main()
