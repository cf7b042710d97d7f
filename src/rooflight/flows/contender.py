"""Rooflight's own worker for `bench frameworks`: what `rooflight train` and `predict` do. Run with python -m."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rooflight.core.runs import EpochRecord
from rooflight.core.training import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from rooflight.bench.contender import FirstStep, Task

NAMES = {"cnn": "cnn", "lstm": "lstm", "vgg16": "transfer:vgg16"}  # model of the task → Rooflight's name


class RooflightContender:
    """A prepared model and its batches."""

    def __init__(self, task: Task, first: FirstStep) -> None:
        import torch

        import rooflight
        from rooflight.bench.torch_worker import torch_arrays
        from rooflight.hardware.process import keep_freed_memory
        from rooflight.models.registry import find_model
        from rooflight.train.layout import prepare

        self.device, self.dtype = torch.device(task.device), getattr(torch, task.dtype)
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.set_num_threads(task.threads)
        self.task, self.first = task, first
        self.x, self.y = (tensor.to(self.device) for tensor in torch_arrays(task))
        entry = find_model(NAMES[task.model])
        self.classes = entry.classes
        self.model, _ = prepare(entry.build(entry.classes), self.device, self.dtype)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {"rooflight": rooflight.__version__, "torch": torch.__version__}

    def __len__(self) -> int:
        return self.task.steps

    @property
    def samples(self) -> int:
        """In an epoch."""
        return len(self.x)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """As they stand."""
        import torch

        found: NDArray[np.int64] = torch.arange(len(self.x)).numpy()
        return found

    def epoch(self, epoch: int, *, start: int = 0) -> Iterable[tuple[Tensor, Tensor]]:
        """The batches, in order; an epoch is always begun at its beginning."""
        return zip(self.x.split(self.task.batch), self.y.split(self.task.batch), strict=True)

    def train(self, epochs: int) -> list[float]:
        """Rates as `train` reports them: of an epoch's steps, without the evaluation between epochs."""
        from rooflight.bench.contender import LEARNING_RATE
        from rooflight.bench.timing import synchronise
        from rooflight.train.fit import Hooks, fit

        config = TrainConfig(epochs=epochs, batch=self.task.batch, lr=LEARNING_RATE, schedule="constant")
        rates: list[float] = []

        def step_done(*step: object) -> None:
            if self.first.seconds is None:
                synchronise(self.device)
                self.first.done()

        def epoch_done(record: EpochRecord) -> None:
            rates.append(record.samples_per_second)

        few = [(self.x[:2], self.y[:2])]
        fit(
            self.model,
            self,
            few,
            config,
            dtype=self.dtype,
            classes=self.classes,
            hooks=Hooks(on_step=step_done, on_epoch=epoch_done),
        )
        return rates

    def infer(self) -> Any:
        """Scores of the first batch."""
        import torch

        from rooflight.bench.timing import synchronise

        self.model.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            scores = self.model(self.x[: self.task.batch])
        synchronise(self.device)
        return scores


if __name__ == "__main__":
    from rooflight.bench.contender import compete

    compete(RooflightContender)
