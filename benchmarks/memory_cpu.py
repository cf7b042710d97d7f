"""Memory of ten real training steps on this CPU, as PyTorch's own allocator counts it, against what a trace predicts.

    python -m benchmarks.memory_cpu --out benchmarks/results/memory-cpu-DATE.json

It takes minutes, writes after every row, and goes on where such a file ends.

The allocator is watched through PyTorch's profiler: every allocation and every free, to the byte, from before the
model is built; the peak is that of the steps, because building a model may need more. Nothing of the trace takes part
in it. What oneDNN and MKL allocate for themselves behind the allocator's back is not seen.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from rooflight.core.codec import from_json, to_json
from rooflight.core.files import write_file
from rooflight.core.types import Comparison, Environment, Workload
from rooflight.hardware.detect import detect
from rooflight.hardware.environment import environment
from rooflight.models.recipe import Recipe
from rooflight.models.resolve import resolve
from rooflight.trace.inputs import DTYPES
from rooflight.trace.tracer import trace

STEPS = 10
MARK = "steps"

# Model → batch: as large as ten steps take some seconds for.
MODELS: Mapping[str, int] = {
    "cnn": 128,
    "lstm": 64,
    "transfer:vgg16": 8,
    "torchvision:resnet18": 8,
    "torchvision:resnet50": 4,
    "torchvision:mobilenet_v3_large": 8,
    "torchvision:densenet121": 4,
    "torchvision:efficientnet_b0": 4,
    "torchvision:squeezenet1_1": 8,
    "torchvision:shufflenet_v2_x1_0": 8,
    "torchvision:regnet_y_400mf": 8,
    "torchvision:convnext_tiny": 2,
    "torchvision:vit_b_16": 2,
    "timm:vit_tiny_patch16_224": 8,
    "timm:mixer_s16_224": 4,
    "timm:swin_tiny_patch4_window7_224": 2,
    "hf:distilbert-base-uncased": 2,
    "hf:gpt2": 1,
}
OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": lambda parameters: torch.optim.Adam(parameters, fused=True),
    "sgd-momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9, fused=True),
}
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOnCpu:
    """Predicted against measured peaks; errors are absolute shares of the measured ones."""

    environment: Environment
    steps: int
    median_error: float
    worst_error: float
    worst: str
    rows: tuple[Comparison, ...]


def case_name(name: str, dtype: str, optimizer: str) -> str:
    """What a row is called."""
    return f"{name}, batch {MODELS[name]}, {dtype}, {optimizer}"


def compare(name: str, dtype: str, optimizer: str) -> Comparison:
    """The peak of one model's training, predicted and measured."""
    recipe = resolve(name)
    workload = Workload(
        model=name, task="train", batch=MODELS[name], input_shape=recipe.input_shape, dtype=dtype, optimizer=optimizer
    )
    found = trace(
        recipe.build,
        workload,
        loss=recipe.loss,
        make_input=recipe.make_input,
        make_target=recipe.make_target,
        device="cpu",
    )
    measured = allocated_peak(recipe, workload)
    return Comparison(
        name=case_name(name, dtype, optimizer),
        unit="bytes",
        predicted=found.peak_bytes,
        measured=measured,
        error=found.peak_bytes / measured - 1.0,
    )


def allocated_peak(recipe: Recipe, workload: Workload) -> int:
    """The most bytes that the allocator had handed out at once during the steps: weights, input and all."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        train(recipe, workload)
    assert profiler.profiler is not None
    events: Any = profiler.profiler.kineto_results.events()
    start = next(event.start_ns() for event in events if event.name() == MARK)
    changes = sorted(
        ((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"),
        key=lambda change: change[0],
    )
    held = [
        (moment, sum_) for (moment, _), sum_ in zip(changes, accumulate(change for _, change in changes), strict=True)
    ]
    peak: int = max(sum_ for moment, sum_ in held if moment >= start)
    return peak


def train(recipe: Recipe, workload: Workload) -> None:
    """Build the model and train it, as a plain loop does."""
    torch.manual_seed(0)
    model = recipe.build().train()
    optimizer = OPTIMIZERS[workload.optimizer or ""]([p for p in model.parameters() if p.requires_grad])
    batch = recipe.make_input(workload)
    with torch.no_grad():
        target = recipe.make_target(_call(model, batch))
    with record_function(MARK):
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype=DTYPES[workload.dtype], enabled=workload.dtype != "float32"):
                loss = recipe.loss(_call(model, batch), target)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def _call(model: torch.nn.Module, batch: Any) -> Any:
    return model(**batch) if isinstance(batch, dict) else model(batch)


def summary(rows: Sequence[Comparison], device: str) -> MemoryOnCpu:
    worst = max(rows, key=lambda row: abs(row.error))
    return MemoryOnCpu(
        environment=environment(device, threads=torch.get_num_threads()),
        steps=STEPS,
        median_error=median(abs(row.error) for row in rows),
        worst_error=abs(worst.error),
        worst=worst.name,
        rows=tuple(rows),
    )


def main() -> None:
    """Every model in every precision with every optimizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    known = from_json(MemoryOnCpu, arguments.out.read_text()).rows if arguments.out and arguments.out.exists() else ()
    rows = list(known)
    for name in arguments.models:
        for dtype in PRECISIONS:
            for optimizer in OPTIMIZERS:
                if case_name(name, dtype, optimizer) in {row.name for row in rows}:
                    continue
                rows.append(compare(name, dtype, optimizer))
                gc.collect()
                print(f"{rows[-1].name}: {rows[-1].error:+.2%}", file=sys.stderr, flush=True)
                if arguments.out:
                    write_file(arguments.out, to_json(summary(rows, detect().cpu.model)) + "\n")
    print(to_json(summary(rows, detect().cpu.model)))


if __name__ == "__main__":
    main()
