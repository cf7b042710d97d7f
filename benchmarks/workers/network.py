"""The network as a PyTorch tutorial writes it, its input, and its test accuracy."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rooflight.bench.contender import ModelName
from rooflight.bench.torch_worker import network


def build(model: ModelName = "cnn") -> nn.Module:
    """The CNN has 93,322 parameters, the text model 389,096."""
    return network(model)


def tensors(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    """The arrays in their order: images in uint8 (N, H, W) as float32 (N, 1, H, W) in 0..1; all else as int64."""
    found = [torch.from_numpy(array) for array in arrays]
    return [x[:, None].float() / 255 if x.dtype == torch.uint8 else x.long() for x in found]


@torch.inference_mode()
def accuracy(model: nn.Module, samples: Tensor, labels: Tensor) -> float:
    """Share of right answers."""
    model.eval()
    right = sum(
        int((model(x).argmax(1) == y).sum()) for x, y in zip(samples.split(500), labels.split(500), strict=True)
    )
    return right / len(labels)
