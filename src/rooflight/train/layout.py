"""A model on its device, in the memory layout that its kernels read fastest."""

from typing import Any

import torch
from torch import Tensor, nn


def prepare(
    model: nn.Module, device: torch.device, dtype: torch.dtype, *, split: bool = False
) -> tuple[nn.Module, str]:
    """Put the model on the device in its layout; returns it and what was chosen, with the reason.

    split  its layers will be spread over ranks, which send each other plain tensors

    Channels last is what cuDNN's Tensor Core kernels and oneDNN's fast ones read. On a CPU in float32, a model that
    keeps its convolutions in `features` trains them on tensors in oneDNN's own layout: pooling then is oneDNN's too,
    without an int64 index for every output and without a pass that clears the gradient. A model that has no
    convolutions says itself how it is best run: it has a method `prepare_for(device, dtype) -> str`.
    """
    # torch's stubs do not know that .to takes a memory format.
    prepare_for = getattr(model, "prepare_for", None)
    if prepare_for is not None:
        model = model.to(device)
        return model, prepare_for(device, dtype)
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    features = getattr(model, "features", None)
    if (
        not split
        and device.type == "cpu"
        and dtype == torch.float32
        and isinstance(features, nn.Sequential)
        and _takes_onednn()
    ):
        features.register_forward_pre_hook(_enter_onednn)
        features.register_forward_hook(_leave_onednn)
        return model, "layout oneDNN's own: float32 convolutions on a CPU"
    return model, "layout channels last: what the convolutions read fastest"


def _takes_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())


def _enter_onednn(features: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Evaluation and export see plain tensors."""
    return (inputs[0].to_mkldnn(),) if features.training else None


def _leave_onednn(features: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Any:
    return output.to_dense() if features.training else None
