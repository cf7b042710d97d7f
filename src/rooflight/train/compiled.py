"""torch.compile on a model: where it is possible."""

from typing import Literal

import torch
from torch import nn

from rooflight.core.errors import BackendError
from rooflight.core.training import TrainConfig

Way = Literal["off", "on", "graphs"]


def compiled(model: nn.Module, way: Way) -> nn.Module:
    """The model, its forward compiled in place: its state dict keeps its names."""
    if way == "on":
        model.compile()
    return model


def eager_device(model: nn.Module) -> torch.device:
    """Where the model is."""
    return next(model.parameters()).device


def refusal(model: nn.Module) -> str | None:
    """Why compiling is not even tried."""
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        return "recurrent layers run in cuDNN's own kernels, which compiling would take apart"
    if eager_device(model).type == "cpu" and not _has_compiler():
        return "no C++ compiler here, which torch.compile needs on a CPU"
    return None


def _has_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return bool(get_cpp_compiler())
    except Exception:  # its own error type moves between versions
        return False


def require_compiler(config: TrainConfig, device: torch.device) -> None:
    """Raise BackendError where --compile was asked for and cannot be."""
    if config.compile == "graphs" and device.type != "cuda":
        raise BackendError(f"--compile graphs needs a GPU; this run is on {device}. Try --compile on.")
    if config.compile == "on" and device.type == "cpu" and not _has_compiler():
        raise BackendError("--compile on needs a C++ compiler on a CPU. Try installing g++, or --compile off.")
