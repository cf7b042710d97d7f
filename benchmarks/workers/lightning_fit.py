"""Lightning's Trainer over a DataLoader, with everything that it can switch off switched off. Variant: lightning."""

import logging
import time
import warnings

import lightning
import torch
import torch.nn.functional as F
from network import accuracy, build, tensors
from task import Record, read_task
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from rooflight.bench.contender import LEARNING_RATE

task = read_task()
warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Network(lightning.LightningModule):
    """The network and its step."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = build(task.model)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """The loss of a batch."""
        samples, labels = batch
        return F.cross_entropy(self.layers(samples), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)


class Epochs(lightning.Callback):
    """Seconds of each epoch."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def on_train_epoch_start(self, trainer: object, module: object) -> None:
        """Start the clock."""
        self.begin = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        """The first step is done."""
        self.record.first_step_done()

    def on_train_epoch_end(self, trainer: object, module: object) -> None:
        """Stop it."""
        self.record.epoch_done(time.perf_counter() - self.begin)


def main() -> None:
    """Fit the epochs, evaluate."""
    torch.set_num_threads(task.threads)
    x_train, y_train, x_test, y_test = tensors(task.arrays())
    record = task.record(len(x_train))
    model = Network()
    trainer = lightning.Trainer(
        max_epochs=task.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Epochs(record)],
    )
    trainer.fit(model, DataLoader(TensorDataset(x_train, y_train), batch_size=task.batch, shuffle=True))
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=accuracy(model.layers, x_test, y_test),
        versions={"lightning": lightning.__version__, "torch": torch.__version__},
    )


main()
