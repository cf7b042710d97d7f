"""One training step of the CNN as it got faster, interleaved in one process: what each change is worth on this machine.

    python -m benchmarks.cnn_step --batch 128 --out benchmarks/results/cnn-step-DATE.json

malloc keeps freed memory throughout; `benchmarks.cnn` shows what that is worth.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from benchmarks.workers.network import build
from rooflight.core.codec import to_json
from rooflight.core.files import write_file
from rooflight.core.types import Environment, Measurement
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment
from rooflight.hardware.process import keep_freed_memory
from rooflight.models.cnn import Cnn
from rooflight.train.layout import prepare
from rooflight.train.probe import probe_step

CPU = torch.device("cpu")
BLOCK_IMAGES = 1500  # in a block between two readings of the clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Images per second of each variant, and the environment."""

    batch: int
    environment: Environment
    rows: tuple[Measurement, ...]


def main() -> None:
    """Take turns, print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=11)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    settings = keep_freed_memory()
    steps = {name: _step(arguments.batch, *variant) for name, variant in _variants().items()}
    rows = _measure(steps, arguments.batch, arguments.blocks)
    device = detect().cpu.model
    result = Steps(
        batch=arguments.batch,
        environment=environment(device, threads=torch.get_num_threads(), settings=settings),
        rows=rows,
    )
    if arguments.out:
        write_file(arguments.out, to_json(result) + "\n")
    print(to_json(result))


def _variants() -> dict[str, tuple[nn.Module, torch.dtype]]:
    """Name → a model in its layout, and the dtype of its products."""
    channels_last, _ = prepare(Cnn(), CPU, torch.bfloat16)
    onednn, _ = prepare(Cnn(), CPU, torch.float32)
    bfloat16, _ = prepare(Cnn(), CPU, torch.bfloat16)
    textbook, _ = prepare(build(), CPU, torch.bfloat16)  # channels last: it keeps its convolutions in no `features`
    return {
        "textbook, NCHW": (build(), torch.float32),
        "textbook, channels last": (textbook, torch.float32),
        "ours, channels last": (channels_last, torch.float32),
        "ours, oneDNN's layout": (onednn, torch.float32),
        "ours, channels last, bfloat16": (bfloat16, torch.bfloat16),
    }


def _step(batch: int, model: nn.Module, dtype: torch.dtype) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(batch, 1, 28, 28, generator=generator), torch.arange(batch) % 10
    return probe_step(model, images, labels, dtype=dtype)[0]


def _measure(steps: dict[str, Callable[[], object]], batch: int, blocks: int) -> tuple[Measurement, ...]:
    calls = max(10, BLOCK_IMAGES // batch)
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for block in range(blocks + 1):
        for name, step in steps.items():
            step()  # after the others, the caches are cold
            begin = perf_counter()
            for _ in range(calls):
                step()
            if block:  # the first warms up
                rates[name].append(calls * batch / (perf_counter() - begin))
    rows = []
    for name, values in rates.items():
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        rows.append(Measurement(name=name, unit="images/s", median=middle, low=low, high=high, n=len(values)))
    return tuple(rows)


if __name__ == "__main__":
    main()
