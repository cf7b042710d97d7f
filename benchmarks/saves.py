"""What durable checkpoints cost the CNN's step: blocks of steps with a save in the background and without, in turns.

    python -m benchmarks.saves --out benchmarks/results/saves-DATE.json

A block is `--every` steps, as between two saves of --checkpoint-every. One with a save begins with it and ends when its
last step is done; what is still being written then falls into the next block, and counts against the wrong side.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import torch
from torch import Tensor

from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.runs import Checkpoint
from rooflight.core.training import TrainConfig
from rooflight.core.types import Environment
from rooflight.data.images import load_images, measure_preprocessing
from rooflight.data.preprocess import preprocess
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment
from rooflight.hardware.process import keep_freed_memory
from rooflight.models.registry import find_model
from rooflight.train.checkpoint.saver import Saver
from rooflight.train.checkpoint.write import Snapshot, take_snapshot
from rooflight.train.fit import build_state
from rooflight.train.layout import prepare
from rooflight.train.loss import CrossEntropy
from rooflight.train.precision import autocast_of
from rooflight.train.ranks import Alone
from rooflight.train.state import TrainState
from rooflight.train.step import Step

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The whole file. Seconds are of a step, over blocks."""

    model: str
    batch: int
    every: int  # steps between saves
    blocks: int  # of each kind
    without_seconds: float
    with_seconds: float
    overhead: float  # median over neighbouring blocks of (with − without) / without
    overhead_low: float  # quartiles
    overhead_high: float
    copy_seconds: float  # that the training thread is held up by a save, median
    saved_bytes: int  # of a checkpoint
    environment: Environment


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as run:  # on the disk that runs are on: /tmp may be memory
        result = measure(Path(run), every=arguments.every, blocks=arguments.blocks, batch=arguments.batch)
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result))


def measure(run: Path, *, every: int, blocks: int, batch: int) -> Result:
    """Blocks in turns, after one that does not count."""
    settings = keep_freed_memory()
    config = TrainConfig(batch=batch, dtype="float32", device="cpu")
    state, step = _training(config)
    batches, saver = _batches(config), Saver(run, keep=2, notify=print)
    copies: list[float] = []

    def block(saves: bool) -> float:
        begin = perf_counter()
        if saves:
            saver.save(_snapshot(state, config))
            copies.append(perf_counter() - begin)
        for _ in range(every):
            images, labels = next(batches)
            step(state, images, labels, len(labels))
            state.advance(len(labels))
        return (perf_counter() - begin) / every

    block(True)
    pairs = [(block(False), block(True)) for _ in range(blocks)]
    saver.close()
    assert saver.written is not None
    low, middle, high = quantiles([(on - off) / off for off, on in pairs], n=4, method="inclusive")
    return Result(
        model=config.model,
        batch=batch,
        every=every,
        blocks=blocks,
        without_seconds=median(off for off, _ in pairs),
        with_seconds=median(on for _, on in pairs),
        overhead=middle,
        overhead_low=low,
        overhead_high=high,
        copy_seconds=median(copies),
        saved_bytes=sum(path.stat().st_size for path in saver.written.iterdir()),
        environment=environment(detect().cpu.model, threads=torch.get_num_threads(), settings=settings),
    )


def _training(config: TrainConfig) -> tuple[TrainState, Step]:
    torch.manual_seed(config.seed)
    model, _ = prepare(find_model(config.model).build(10), CPU, torch.float32)
    state = build_state(model.train(), config, dtype=torch.float32)
    once = Step(
        loss=CrossEntropy(),
        autocast=autocast_of(CPU, torch.float32),
        rate_share=lambda step: 1.0,
        ranks=Alone(),
        seed=config.seed,
    )
    return state, once


def _snapshot(state: TrainState, config: TrainConfig) -> Snapshot:
    document = Checkpoint(
        weights="",
        weights_sha256="",
        config=config,
        classes=tuple("0123456789"),
        epoch=0,
        parameters=sum(parameter.numel() for parameter in state.model.parameters()),
        step=state.place.step,
        state=state.document(),
    )
    return take_snapshot(document, weights=state.weights(), tensors=state.tensors())


def _batches(config: TrainConfig) -> Iterator[tuple[Tensor, Tensor]]:
    images = load_images("bundled", channels=1, height=28, width=28)
    pixels = preprocess(images.train_images, measure_preprocessing(images.train_images))
    while True:
        yield from zip(pixels.split(config.batch), images.train_labels.split(config.batch), strict=True)


if __name__ == "__main__":
    main()
