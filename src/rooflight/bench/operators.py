"""The operators that networks are made of, each at sizes that a known network has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, nearest

CPU_BATCH, GPU_BATCH = 8, 32

Build = Callable[[torch.dtype, torch.device], nn.Module]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator at one size: forward, without gradients."""

    operator: str
    size: str  # the network that has it, and the input's shape
    shape: tuple[int, ...]
    build: Build
    vocabulary: int | None = None  # the input is indices below it; None: normally distributed numbers

    def make_input(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A random input of the size."""
        if self.vocabulary is not None:
            return torch.randint(self.vocabulary, self.shape, device=device)
        return torch.randn(self.shape, dtype=dtype, device=device)


def operators(N: int) -> tuple[Operator, ...]:
    """All of them, at a batch of N.

    source  ResNet-50: He et al. 2015, Table 1; MobileNetV2: Sandler et al. 2018, Table 2; BERT-base (768 features, 12
            heads, 30,522 words): Devlin et al. 2018; GPT-2: Radford et al. 2019; the medium LSTM: Zaremba et al. 2014;
            the small one: Keras's IMDB example
    """
    return (
        _convolution("ResNet-50 stage 1, 3×3", (N, 64, 56, 56), 64, 3),
        _convolution("ResNet-50 stage 2, 1×1", (N, 512, 28, 28), 128, 1),
        _convolution("ResNet-50 stage 3, 3×3", (N, 256, 14, 14), 256, 3),
        _convolution("MobileNetV2 depthwise, 3×3", (N, 144, 56, 56), 144, 3, groups=144),
        _layer("matmul", "BERT-base projection", (N * 128, 768), lambda t, d: nn.Linear(768, 768, dtype=t, device=d)),
        _layer(
            "matmul", "BERT-base feed-forward", (N * 128, 768), lambda t, d: nn.Linear(768, 3072, dtype=t, device=d)
        ),
        _layer("attention", "BERT-base, 128 tokens", (3, N, 12, 128, 64), lambda t, d: _Attention()),
        _layer("attention", "GPT-2, 1024 tokens", (3, max(1, N // 8), 12, 1024, 64), lambda t, d: _Attention()),
        _layer("LSTM", "IMDB example, 80 steps", (32, 80, 128), lambda t, d: _Lstm(128, t, d)),
        _layer("LSTM", "Zaremba medium, 35 steps", (20, 35, 650), lambda t, d: _Lstm(650, t, d)),
        _layer("batch norm", "ResNet-50 stage 1", (N, 256, 56, 56), lambda t, d: _BatchNorm(256, t, d)),
        _layer("batch norm", "ResNet-50 stage 4", (N, 2048, 7, 7), lambda t, d: _BatchNorm(2048, t, d)),
        _layer("softmax", "BERT-base scores", (N, 12, 128, 128), lambda t, d: nn.Softmax(dim=-1)),
        _layer("softmax", "BERT-base vocabulary", (N * 16, 30522), lambda t, d: nn.Softmax(dim=-1)),
        _layer("layer norm", "BERT-base", (N * 128, 768), lambda t, d: nn.LayerNorm(768, dtype=t, device=d)),
        _layer("element-wise", "GELU of BERT-base", (N * 128, 3072), lambda t, d: nn.GELU()),
        _layer("element-wise", "residual sum of ResNet-50", (2, N, 256, 56, 56), lambda t, d: _Sum()),
        Operator(
            operator="embedding",
            size=f"BERT-base: {N}×128 of 30522×768",
            shape=(N, 128),
            build=lambda t, d: nn.Embedding(30522, 768, dtype=t, device=d),
            vocabulary=30522,
        ),
    )


def pick_operators(device: torch.device, only: Sequence[str] = ()) -> tuple[Operator, ...]:
    """Those of the kinds asked for, or all, at the device's batch. Raises ConfigError for an unknown kind."""
    listed = operators(CPU_BATCH if device.type == "cpu" else GPU_BATCH)
    known = list(dict.fromkeys(each.operator for each in listed))
    for name in only:
        if name not in known:
            raise ConfigError(f"no operator {name!r} is measured.{nearest(name, known)}")
    return tuple(each for each in listed if not only or each.operator in only)


def _layer(operator: str, network: str, shape: tuple[int, ...], build: Build) -> Operator:
    return Operator(operator=operator, size=f"{network}: {'×'.join(map(str, shape))}", shape=shape, build=build)


def _convolution(network: str, shape: tuple[int, ...], K: int, R: int, groups: int = 1) -> Operator:
    C = shape[1]

    def build(dtype: torch.dtype, device: torch.device) -> nn.Module:
        return nn.Conv2d(C, K, R, padding=R // 2, groups=groups, bias=False, dtype=dtype, device=device)

    return _layer("convolution", network, shape, build)


class _Attention(nn.Module):
    """Scaled dot-product attention without a mask; x is (3, N, heads, T, D): queries, keys, values."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = x.unbind(0)
        return F.scaled_dot_product_attention(q, k, v)


class _Sum(nn.Module):
    """x is (2, …): both halves are added."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.unbind(0)
        return a + b


class _Lstm(nn.Module):
    """One layer, as many units as features; x is (N, T, D)."""

    def __init__(self, D: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self.lstm = nn.LSTM(D, D, batch_first=True, dtype=dtype, device=device)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.lstm(x)[0]
        return output


class _BatchNorm(nn.Module):
    """With the batch's own statistics, as in training."""

    def __init__(self, C: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        # Weights stay in float32 beside half-precision inputs, as autocast has them.
        self.weight, self.bias = (nn.Parameter(make(C, device=device)) for make in (torch.ones, torch.zeros))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True)
