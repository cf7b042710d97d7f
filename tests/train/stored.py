"""A small run's checkpoints, for the tests of the store."""

from pathlib import Path

import torch
from torch import Tensor

from rooflight.core.runs import Checkpoint, Preprocessing
from rooflight.core.training import TrainConfig
from rooflight.train.checkpoint.write import Snapshot, take_snapshot, write_checkpoint

SHAPE = Preprocessing(channels=1, height=28, width=28, mean=(0.5,), std=(0.25,))


def document(step: int) -> Checkpoint:
    return Checkpoint(
        weights="",
        weights_sha256="",
        config=TrainConfig(),
        classes=("a", "b"),
        preprocessing=SHAPE,
        epoch=1,
        parameters=88,
        step=step,
        state={"place": {"epoch": 1, "samples": 0, "step": step}},
    )


def tensors(step: int, count: int = 500) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights, and all tensors of the run, of which "model.…" are the weights."""
    weights = {"one": torch.full((count,), float(step)), "two": torch.arange(4.0).reshape(2, 2)}
    return weights, {f"model.{name}": value for name, value in weights.items()} | {
        "optimizer.0.step": torch.tensor(step)
    }


def snapshot(step: int, count: int = 500) -> Snapshot:
    weights, everything = tensors(step, count)
    return take_snapshot(document(step), weights=weights, tensors=everything)


def saved(run: Path, *steps: int, keep: int = 10) -> list[Path]:
    """Checkpoints of these steps."""
    run.mkdir(exist_ok=True)
    return [write_checkpoint(snapshot(step), run, keep=keep) for step in steps]
