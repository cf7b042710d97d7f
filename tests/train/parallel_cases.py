"""Trainings that test_parallel.py runs alone and on several processes; as a script, `FORM OUT`, it is one rank."""

import copy
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from rooflight.core.training import TrainConfig
from rooflight.train.fit import Hooks, fit
from rooflight.train.loss import CrossEntropy, balanced_weights
from rooflight.train.parallel.form import pick_form
from rooflight.train.parallel.launch import find_launch
from rooflight.train.parallel.together import Together
from rooflight.train.parallel.world import World
from rooflight.train.ranks import Ranks
from rooflight.train.state import TrainState

SAMPLES, FEATURES, CLASSES = 61 + 2 * 96, 12, 4  # three batches of 96, the last one of 61
BASE = TrainConfig(epochs=2, batch=96, lr=1e-2, clip=0.5, label_smoothing=0.1, ema=0.9, seed=3)


class Net(nn.Module):
    """Two pairs of linear layers, and one that has no partner."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(FEATURES, 32), nn.GELU(), nn.Linear(32, 16))
        self.second = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 16))
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        scores: Tensor = self.head(torch.relu(x + self.second(x)))
        return scores


class Samples:
    """Batches of a fixed set, for any number of ranks."""

    def __init__(self, count: int, batch: int, ranks: Ranks) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(count, FEATURES, generator=generator)
        self.y = (self.x[:, :CLASSES] + 0.3 * torch.randn(count, CLASSES, generator=generator)).argmax(1)
        self.batch, self.ranks, self.samples = batch, ranks, count

    def __len__(self) -> int:
        return -(-self.samples // self.batch)

    def order(self, epoch: int) -> Any:
        return np.random.default_rng(epoch).permutation(self.samples)

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.from_numpy(self.order(epoch))
        for first in range(start, self.samples, self.batch):
            own = self.ranks.share(order[first : first + self.batch])
            yield self.x[own], self.y[own]


class FailsOnce(nn.Module):
    """Runs out of memory in a chosen forward or backward pass of one rank: test code around a layer."""

    def __init__(self, layer: nn.Module, *, at: int, backward: bool) -> None:
        super().__init__()
        self.layer, self.at, self.backward, self.calls = layer, at, backward, 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            out: Tensor = self.layer(x)
            return out
        FAILURES["calls"] += 1
        fails = FAILURES["calls"] == self.at
        if fails and not self.backward:
            raise torch.OutOfMemoryError("simulated")
        out = self.layer(x)
        if fails:
            out.register_hook(_no_memory)
        return out


FAILURES = {"calls": 0}


def _no_memory(gradient: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("simulated")


def train(
    config: TrainConfig,
    ranks: Ranks,
    *,
    model: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
    balanced: bool = False,
    samples: int = SAMPLES,
    resume: Any = None,
) -> dict[str, Any]:
    """One run; returns its last whole state, its evaluation and what was halved."""
    if model is None:
        torch.manual_seed(0)
        model = Net()
    batches = Samples(samples, config.batch, ranks)
    if isinstance(ranks, Together):
        model = ranks.wrap(model, batches.x[:4])
    weights = balanced_weights(batches.y, CLASSES) if balanced else None
    saved: dict[str, Any] = {}
    halved: list[int] = []

    def save(state: TrainState) -> None:
        tensors = {name: value.detach().clone() for name, value in state.tensors().items()}
        saved.update(tensors=tensors, document=state.document())

    found = fit(
        model,
        batches,
        [(batches.x[:33], batches.y[:33]), (batches.x[:1], batches.y[:1])],
        config,
        dtype=dtype,
        classes=CLASSES,
        loss=CrossEntropy(class_weights=weights, smoothing=config.label_smoothing),
        ranks=ranks,
        resume=resume,
        hooks=Hooks(on_save=save, on_halved=halved.append),
    )
    evaluation = found.evaluation
    losses = [(record.train_loss, record.train_accuracy, record.test_loss) for record in found.records]
    return {**saved, "confusion": evaluation.confusion, "losses": losses, "halved": halved}


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "micro": {"config": replace(BASE, micro_batch=7)},
    "balanced": {"balanced": True},
    "one-sample": {"samples": 97, "config": replace(BASE, epochs=1)},  # the last batch leaves a rank nothing
    "float16": {"dtype": torch.float16, "config": replace(BASE, micro_batch=12)},
}


def run_case(name: str, ranks: Ranks) -> dict[str, Any]:
    """A case by its name, in whatever form `ranks` is."""
    return train(**{"config": BASE, "ranks": ranks, **CASES[name]})


def failing(ranks: Ranks, rank: int, *, at: int, backward: bool) -> dict[str, Any]:
    """The plain case, in which one rank runs out of memory once."""
    torch.manual_seed(0)
    model = Net()
    FAILURES["calls"] = 0
    found = find_launch()
    if found is not None and found.rank == rank:
        model.first[2] = FailsOnce(model.first[2], at=at, backward=backward)
    return train(BASE, ranks, model=model)


def main(form: str, out: Path) -> None:
    """One rank: all cases of a form in one start."""
    launch = find_launch()
    assert launch is not None
    flags: dict[str, Any] = {"asked": "auto", "tensor": 1, "pipeline": 1}
    for flag in form.split("+"):
        name, _, number = flag.partition("-")
        flags |= {name: int(number)} if number else {"asked": name}
    parallel, why = pick_form(**flags, world_size=launch.world_size, batch=BASE.batch)
    world = World(launch, parallel, torch.device("cpu"), timeout_seconds=60)
    results: dict[str, Any] = {"why": why}
    for name in CASES:
        if not (name == "float16" and parallel.tensor > 1):  # PyTorch's loss scaler takes no mixture of DTensors
            results[name] = run_case(name, Together(world))
    told = [copy.deepcopy(results["micro"])]
    dist.broadcast_object_list(told)  # as a file that all ranks read
    saved: Any = told[0]
    ranks = Together(world)
    longer = replace(BASE, epochs=3, micro_batch=7)
    results["resumed"] = train(longer, ranks, resume=(saved["tensors"], saved["document"]))
    results["reasons"] = ranks.reasons
    if "pipeline" not in form:
        for direction in ("forward", "backward"):
            results[direction] = failing(Together(world), 1, at=4, backward=direction == "backward")
    if launch.is_main:
        torch.save(results, out)
    world.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
    # A thread of gloo can end the interpreter's own end by an abort, after all is said and written.
    sys.stdout.flush()
    os._exit(0)
