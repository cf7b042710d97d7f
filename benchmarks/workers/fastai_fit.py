"""fastai's Learner over its DataLoaders, without a progress bar and its recorder's printing. Variant: fastai."""

import time

import fastai
import torch
import torch.nn.functional as F
from fastai.basics import Adam, Callback, DataLoader, DataLoaders, Learner
from network import accuracy, build, tensors
from task import Record, read_task
from torch.utils.data import TensorDataset

from rooflight.bench.contender import LEARNING_RATE

task = read_task()


class Epochs(Callback):  # type: ignore[misc]
    """Seconds of each epoch's training."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def before_train(self) -> None:
        """Start the clock."""
        self.begin = time.perf_counter()

    def after_batch(self) -> None:
        """The first step is done."""
        self.record.first_step_done()

    def after_train(self) -> None:
        """Stop it."""
        self.record.epoch_done(time.perf_counter() - self.begin)


def main() -> None:
    """Fit the epochs, evaluate."""
    torch.set_num_threads(task.threads)
    x_train, y_train, x_test, y_test = tensors(task.arrays())
    record = task.record(len(x_train))
    training = DataLoader(TensorDataset(x_train, y_train), bs=task.batch, shuffle=True, num_workers=0)
    # fastai evaluates after every epoch; one batch is enough for it, and lies outside the clock.
    validation = DataLoader(TensorDataset(x_test[:32], y_test[:32]), bs=32, num_workers=0)
    loaders = DataLoaders(training, validation, device=torch.device("cpu"))
    learner = Learner(loaders, build(task.model), loss_func=F.cross_entropy, opt_func=Adam, cbs=[Epochs(record)])
    with learner.no_logging():
        learner.fit(task.epochs, lr=LEARNING_RATE, wd=0.0)
    record.finish(
        parameters=sum(parameter.numel() for parameter in learner.model.parameters()),
        accuracy=accuracy(learner.model, x_test, y_test),
        versions={"fastai": fastai.__version__, "torch": torch.__version__},
    )


main()
