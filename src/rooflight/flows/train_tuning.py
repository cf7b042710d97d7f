"""What a run decides by trying, after its data is there and before its first step."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, TraceError
from rooflight.core.training import TrainConfig
from rooflight.core.types import Trace
from rooflight.core.units import show_bytes
from rooflight.flows.family import TrainData
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rooflight.train.loss import Loss

SPARE = 0.9  # of the free memory: the allocator rounds up, and fragments


def set_kernels(config: TrainConfig) -> None:
    """What the process allows its kernels: TF32, and orders of summation that differ from time to time."""
    import torch

    from rooflight.train.precision import set_precision

    set_precision(config.dtype)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for, before its first use
        torch.backends.cudnn.benchmark = False
    if config.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports torch's compiler
        torch.use_deterministic_algorithms(config.deterministic)


def loss_of(config: TrainConfig, data: TrainData, setting: Setting) -> Loss:
    """What a step of the run makes small."""
    from rooflight.train.loss import CrossEntropy, balanced_weights

    weights = None
    if data.loss is not None:
        if config.class_weights != "none" or config.label_smoothing:
            raise ConfigError(
                f"--class-weights and --label-smoothing are of cross entropy, and {config.model} has another loss. "
                "Try without them."
            )
        return data.loss
    if config.class_weights == "balanced":
        if data.labels is None:
            raise ConfigError(f"--class-weights balanced: {config.model} has no classes to balance. Try none.")
        weights = balanced_weights(data.labels(), len(data.reads.classes)).to(setting.device)
    return CrossEntropy(class_weights=weights, smoothing=config.label_smoothing)


def tune(
    config: TrainConfig,
    data: TrainData,
    model: nn.Module,
    setting: Setting,
    loss: Loss,
    traced: Trace | None,
    console: Console,
) -> tuple[TrainConfig, tuple[str, ...]]:
    """The configuration with its micro-batch, learning rate and way to run steps, and why.

    raises  BackendError where --compile asks for what this machine has not
    """
    from rooflight.train.compiled import require_compiler
    from rooflight.train.find_lr import find_lr
    from rooflight.train.payback import choose

    require_compiler(config, setting.device)
    reasons: list[str] = []
    if config.micro_batch is None and traced is not None:
        config, told = _fitting(config, data, setting, loss, traced)
        reasons += told
    if config.find_lr:
        console.say("trying learning rates")
        found = find_lr(model, data.batches, config, dtype=setting.dtype, loss=loss)
        config = replace(config, lr=found.lr, find_lr=False)
        reasons.append(f"learning rate {found.lr:g}: a tenth of the one at which the loss was lowest")
    inputs, targets = next(iter(data.batches.epoch(1)))
    steps = config.epochs * len(data.batches)
    choice = choose(model, inputs, targets, config, dtype=setting.dtype, steps=steps, loss=loss)
    reasons.append(f"compile {choice.way}: {choice.reason}")
    return replace(config, compile=choice.way), tuple(reasons)


def _fitting(
    config: TrainConfig, data: TrainData, setting: Setting, loss: Loss, traced: Trace
) -> tuple[TrainConfig, list[str]]:
    """The largest micro-batch that is predicted to fit. A step that does not fit after all halves it."""
    from rooflight.estimate.memory import max_batch
    from rooflight.flows.train_trace import trace_step

    free = int(SPARE * free_bytes(setting.device))
    if traced.peak_bytes <= free or config.batch < 2:
        return config, []
    batch, half = next(iter(data.batches.epoch(1))), replace(config, batch=config.batch // 2)
    try:
        small = trace_step(half, data.reads, batch, loss, setting.device.type)
        most = max_batch(small, traced, free)
    except TraceError:
        return config, []
    micro = max(1, min(most or 1, config.batch - 1))
    told = (
        f"micro-batch {micro}: a step of {config.batch} samples at once needs {show_bytes(traced.peak_bytes)}, "
        f"{show_bytes(free)} are free (predicted)"
    )
    return replace(config, micro_batch=micro), [told]


def free_bytes(device: torch.device) -> int:
    """Memory that a step can take: the device's, or the host's."""
    import torch

    from rooflight.hardware.process import available_bytes

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
