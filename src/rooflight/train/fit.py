"""From a model, batches and a TrainConfig to trained weights and their record."""

import copy
import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError
from rooflight.core.runs import EpochRecord, Evaluation, TrainConfig
from rooflight.train.evaluate import evaluate
from rooflight.train.loop import Autocast, EpochBatches, Totals, train_epochs, train_step

WARM_UP = 0.2  # share of the steps over which the one-cycle learning rate rises


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a call of `fit` measured."""

    records: tuple[EpochRecord, ...]
    evaluation: Evaluation  # of the last epoch's weights; nothing is chosen by it
    steps: int
    step_seconds: float  # median over the epochs; the first is left out where there are others
    samples_per_second: float
    first_step_seconds: float


def fit(
    model: nn.Module,
    batches: EpochBatches,
    test_batches: Iterable[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    classes: int,
    on_step: Callable[[int], None] = lambda samples: None,
    on_epoch: Callable[[EpochRecord], None] = lambda record: None,
) -> Fit:
    """Train a prepared model and measure it.

    dtype     of the matrix products; float32 switches autocast off. Weights and optimizer state stay float32
    on_step   called with the number of samples after each step
    on_epoch  called with each epoch's record, when the model holds that epoch's weights
    raises    ConfigError if the loss is no longer a number
    """
    device = next(model.parameters()).device
    optimizer, scaler, autocast = tools(model, lr=config.lr, dtype=dtype)
    scheduler = _scheduler(optimizer, config, config.epochs * len(batches))
    clock = _Clock(device)
    records: list[EpochRecord] = []
    evaluations: list[Evaluation] = []

    def step_done(samples: int) -> None:
        clock.step(samples)
        on_step(samples)

    def epoch_done(epoch: int, totals: Totals) -> None:
        train_loss = float(totals.loss) / totals.samples  # the host waits for the device here
        seconds = clock.epoch()
        evaluation = evaluate(model, test_batches, classes=classes, autocast=autocast)
        if not (train_loss < float("inf") and evaluation.loss < float("inf")):
            raise ConfigError(f"the loss is no longer a number in epoch {epoch} (lr {config.lr:g}). Try a lower --lr.")
        record = EpochRecord(
            epoch=epoch,
            step=epoch * len(batches),
            train_loss=train_loss,
            train_accuracy=int(totals.correct) / totals.samples,
            test_loss=evaluation.loss,
            test_accuracy=evaluation.accuracy,
            lr=float(scheduler.get_last_lr()[0]),
            samples_per_second=totals.samples / seconds,
            seconds=clock.elapsed(),
        )
        records.append(record)
        evaluations.append(evaluation)
        on_epoch(record)
        clock.start_epoch()

    clock.start_epoch()
    train_epochs(
        model,
        batches,
        epochs=config.epochs,
        optimizer=optimizer,
        scheduler=scheduler,
        scaler=scaler,
        autocast=autocast,
        on_step=step_done,
        on_epoch=epoch_done,
    )
    rates = [record.samples_per_second for record in records]
    rate = median(rates[1:] or rates)
    return Fit(
        records=tuple(records),
        evaluation=evaluations[-1],
        steps=config.epochs * len(batches),
        step_seconds=clock.step_samples / rate,
        samples_per_second=rate,
        first_step_seconds=clock.first_step_seconds,
    )


def tools(
    model: nn.Module, *, lr: float, dtype: torch.dtype
) -> tuple[torch.optim.Optimizer, torch.amp.GradScaler, Autocast]:
    """The optimizer, the loss scaler and the autocast context of a prepared model."""
    kind = next(model.parameters()).device.type

    def autocast() -> AbstractContextManager[object]:
        return torch.autocast(kind, dtype, enabled=dtype != torch.float32)

    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    # float16 has no room for small gradients: the loss is scaled up, and steps that overflow are left out.
    scaler = torch.amp.GradScaler(kind, enabled=dtype == torch.float16)
    return optimizer, scaler, autocast


def probe_step(
    model: nn.Module, images: Tensor, labels: Tensor, *, dtype: torch.dtype
) -> tuple[Callable[[], object], Callable[[], int]]:
    """One training step to be measured, on a copy of the model, so that its weights stay as they are.

    returns  the step, and a function that counts the bytes that stay between steps: parameters, buffers, optimizer
             state and the batch
    """
    twin = copy.deepcopy(model).train()
    optimizer, scaler, autocast = tools(twin, lr=1e-3, dtype=dtype)

    def step() -> object:
        return train_step(twin, images, labels, optimizer=optimizer, scaler=scaler, autocast=autocast)

    def staying() -> int:
        state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
        return sum(tensor.nbytes for tensor in (*twin.parameters(), *twin.buffers(), *state, images, labels))

    return step, staying


def _scheduler(
    optimizer: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """One cycle: straight up to config.lr, then down to nothing along a cosine. Source: Smith, arXiv 1708.07120."""
    rising = max(1, round(WARM_UP * steps))

    def share(step: int) -> float:
        if config.schedule == "constant":
            return 1.0
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


class _Clock:
    """Times the training steps, and leaves out evaluation, saving and what else happens between epochs."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.begin = time.perf_counter()
        self.epoch_begin = self.begin
        self.first_step_seconds = 0.0
        self.step_samples = 0  # of a full step: the last of an epoch may be smaller

    def start_epoch(self) -> None:
        self.epoch_begin = time.perf_counter()

    def step(self, samples: int) -> None:
        self.step_samples = max(self.step_samples, samples)
        if not self.first_step_seconds:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # once in a run
            self.first_step_seconds = time.perf_counter() - self.begin

    def epoch(self) -> float:
        return time.perf_counter() - self.epoch_begin

    def elapsed(self) -> float:
        return time.perf_counter() - self.begin
