"""Accelerate's loop: what it prepares is a plain model, optimizer and DataLoader. Variant: accelerate."""

import time

import accelerate
import torch
import torch.nn.functional as F
from network import accuracy, build, tensors
from task import read_task
from torch.utils.data import DataLoader, TensorDataset

from rooflight.bench.contender import LEARNING_RATE

task = read_task()


def main() -> None:
    """Train the epochs, evaluate."""
    torch.set_num_threads(task.threads)
    x_train, y_train, x_test, y_test = tensors(task.arrays())
    record = task.record(len(x_train))
    accelerator = accelerate.Accelerator(cpu=True)
    model = build(task.model)
    model, optimizer, batches = accelerator.prepare(
        model,
        torch.optim.Adam(model.parameters(), lr=LEARNING_RATE),
        DataLoader(TensorDataset(x_train, y_train), batch_size=task.batch, shuffle=True),
    )
    for _ in range(task.epochs):
        begin = time.perf_counter()
        for samples, labels in batches:
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(samples), labels))
            optimizer.step()
            record.first_step_done()
        record.epoch_done(time.perf_counter() - begin)
    model = accelerator.unwrap_model(model)
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=accuracy(model, x_test, y_test),
        versions={"accelerate": accelerate.__version__, "torch": torch.__version__},
    )


main()
