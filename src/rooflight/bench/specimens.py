"""Small random networks that operators are timed in: layers as networks have them, at sizes that are drawn.

Drawn, not copied: what is learned from them then holds for a network that nobody thought of. The ranges cover what
networks for images, texts and sequences have; the seed is fixed, so every machine times the same ones.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.types import Phase, Task

SEED = 20261124
Act = Callable[[], nn.Module]
ACTIVATIONS: tuple[Act, ...] = (nn.ReLU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Identity)


@dataclass(frozen=True, slots=True)
class Specimen:
    """A network and one batch for it: (N, C, H, W) images in channels last, or (N, T) words."""

    name: str
    model: nn.Module
    batch: Tensor
    classes: int


def specimens(count: int, *, scale: int = 1, seed: int = SEED) -> Iterator[Specimen]:
    """So many networks, built as they are asked for. scale: times the batch, for a device that small ones leave idle.

    Of ten, six are convolutional, two recurrent, one is a transformer and one of wide linear layers.
    """
    draw = random.Random(seed)
    makers = (
        *(_convolutional, _inverted, _recurrent, _transformer, _convolutional),
        *(_inverted, _recurrent, _linear, _convolutional, _permuted),
    )
    for index in range(count):
        torch.manual_seed(seed + index)
        yield makers[index % len(makers)](draw, scale)


def specimen_step(
    specimen: Specimen, task: Task, dtype: torch.dtype, device: torch.device
) -> Callable[[Callable[[Phase], None]], object]:
    """One training step with Adam, or one inference pass, as a function that calls what it is given at each phase.

    dtype   of the matrix products, by autocast
    """
    model, batch = specimen.model.to(device).train(task == "train"), specimen.batch.to(device)
    labels = torch.arange(len(batch), device=device) % specimen.classes
    optimizer = torch.optim.Adam(model.parameters(), fused=True) if task == "train" else None

    def step(mark: Callable[[Phase], None]) -> None:
        mark("forward")
        with torch.set_grad_enabled(task == "train"), torch.autocast(device.type, dtype, dtype != torch.float32):
            scores = model(batch)
            loss = F.cross_entropy(scores, labels) if optimizer else None
        if loss is None or optimizer is None:
            return
        mark("backward")
        loss.backward()
        mark("optimizer")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# ---------------------------------------------------------------- what is drawn


def _between(draw: random.Random, low: float, high: float) -> float:
    """From low to high, every factor of two as likely as another."""
    return low * float((high / low) ** draw.random())


def _channels(draw: random.Random, low: int, high: int) -> int:
    """Mostly multiples of 16, which vector units like, and of 8; some are neither."""
    step = draw.choice((32, 16, 16, 8, 8, 2))
    return max(step, round(_between(draw, low, high) / step) * step)


def _image(draw: random.Random, scale: int, channels: int, limit: float) -> tuple[int, int]:
    """(N, H) such that N·C·H·H is no more than a limit, itself drawn."""
    elements = min(_between(draw, 2**17, limit), 2**30 / channels)  # a 3×3 convolution of 20 GFLOP at most
    H = round(_between(draw, 5, 120))
    H = max(4, min(H, int((elements / channels) ** 0.5)))
    N = round(min(64, max(1, elements / (channels * H * H))))
    return N * scale, H


# ---------------------------------------------------------------- networks


class _Network(nn.Module):
    """A body on images, and a linear head on the mean of every channel."""

    def __init__(self, body: nn.Module, channels: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body, self.pool = body, nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.pool(self.body(x)))
        return scores


class _Residual(nn.Module):
    """x + f(x), then an activation or none."""

    def __init__(self, inner: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.activation = inner, activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.inner(x) + x)
        return out


class _Joined(nn.Module):
    """x beside f(x), along the channels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.inner(x)], 1)


class _Halves(nn.Module):
    """One half of the channels goes through f; then both are shuffled."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        kept, worked = x.chunk(2, dim=1)
        out = torch.cat((kept, self.inner(worked)), dim=1)
        n, channels, height, width = out.shape
        return out.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(n, channels, height, width)


class _Gated(nn.Module):
    """Squeeze and excitation: every channel times a gate made from all channels' means."""

    def __init__(self, channels: int, inner: int, activation: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), activation, nn.Conv2d(inner, channels, 1), gate
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.gate(x)
        return out


def _conv(
    c: int, k: int, r: int, activation: nn.Module | None, *, stride: int = 1, groups: int = 1, norm: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(c, k, r, stride, r // 2, groups=groups, bias=not norm)]
    layers += [nn.BatchNorm2d(k)] if norm else []
    layers += [activation] if activation is not None else []
    return nn.Sequential(*layers)


def _specimen(draw: random.Random, name: str, body: nn.Sequential, size: tuple[int, int, int], out: int) -> Specimen:
    """A body on images of (N, C, H) with so many channels out."""
    N, C, H = size
    classes = round(_between(draw, 10, 2000))
    model = _Network(body, out, classes, dropout=draw.choice((0.0, 0.2)))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(N, C, H, H).contiguous(memory_format=torch.channels_last)
    return Specimen(f"{name}, {N}×{C}×{H}×{H}", model, x, classes)


def _convolutional(draw: random.Random, scale: int) -> Specimen:
    """A stem on few channels, then blocks of plain, bottleneck, grouped, joined or halved convolutions."""
    C = _channels(draw, 16, 768)
    N, H = _image(draw, scale, C, 2**23.5)
    activation, norm = draw.choice(ACTIVATIONS), draw.random() < 0.75
    layers: list[nn.Module] = []
    few = draw.choice((1, 3, 3, C))
    stride = draw.choice((1, 1, 2, 2))
    stem = draw.choice((3, 3, 7)) if few < C else draw.choice((1, 3))
    if few < C and C > 128:  # no network has a wide stem
        few = C
    layers.append(_conv(few, C, stem, activation(), stride=stride, norm=norm))
    if draw.random() < 0.5:
        layers.append(nn.MaxPool2d(draw.choice((2, 3)), 2, draw.choice((0, 1))))
    width = C
    for _ in range(3):
        kind = draw.choice(("plain", "bottleneck", "bottleneck", "grouped", "joined", "halves", "wider"))
        r = draw.choice((3, 3, 3, 1, 5))
        if kind == "plain":
            layers.append(_Residual(_conv(width, width, r, activation(), norm=norm), activation()))
        elif kind == "bottleneck":
            inner = _channels(draw, max(8, width // 6), width)
            parts = (
                _conv(width, inner, 1, activation()),
                _conv(inner, inner, 3, activation()),
                _conv(inner, width, 1, None),
            )
            layers.append(_Residual(nn.Sequential(*parts), activation()))
        elif kind == "grouped":
            group = draw.choice((8, 16, 24, 32, 48))
            inner = max(group, round(width / group) * group)
            parts = (
                _conv(width, inner, 1, activation()),
                _conv(inner, inner, 3, activation(), groups=inner // group, stride=draw.choice((1, 2))),
                _conv(inner, width, 1, None),
            )
            layers.append(nn.Sequential(*parts))
        elif kind == "joined":
            more = _channels(draw, 8, 96)
            layers.append(_Joined(nn.Sequential(nn.BatchNorm2d(width), activation(), _conv(width, more, 3, None))))
            width += more
        elif kind == "halves" and width % 4 == 0:
            half = width // 2
            parts = (
                _conv(half, half, 1, activation()),
                _conv(half, half, 3, None, groups=half),
                _conv(half, half, 1, activation()),
            )
            layers.append(_Halves(nn.Sequential(*parts)))
        else:
            wider = _channels(draw, width, 2 * width)
            layers.append(_conv(width, wider, r, activation(), stride=draw.choice((1, 2)), norm=norm))
            width = wider
        if draw.random() < 0.2:
            layers.append(draw.choice((nn.MaxPool2d(2, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True))))
    return _specimen(draw, "convolutional", nn.Sequential(*layers), (N, few, H * stride), width)


def _inverted(draw: random.Random, scale: int) -> Specimen:
    """Inverted bottlenecks: 1×1 to more channels, depthwise, a gate or none, 1×1 back."""
    width = _channels(draw, 8, 192)
    factor = draw.choice((1, 3, 4, 6))
    N, H = _image(draw, scale, width * factor, 2**23.5)
    activation = draw.choice(ACTIVATIONS[1:5])
    layers: list[nn.Module] = []
    for _ in range(3):
        inner = width * factor
        r, stride = draw.choice((3, 3, 5)), draw.choice((1, 1, 2))
        parts: list[nn.Module] = [] if factor == 1 else [_conv(width, inner, 1, activation())]
        parts.append(_conv(inner, inner, r, activation(), groups=inner, stride=stride))
        if draw.random() < 0.5:
            gate = draw.choice((nn.Sigmoid, nn.Hardsigmoid))()
            parts.append(
                _Gated(inner, max(8, inner // draw.choice((4, 16, 24))), draw.choice((nn.ReLU, nn.SiLU))(), gate)
            )
        if stride == 1:
            layers.append(_Residual(nn.Sequential(*parts, _conv(inner, width, 1, None)), nn.Identity()))
        else:
            wider = _channels(draw, width, 2 * width)
            layers.append(nn.Sequential(*parts, _conv(inner, wider, 1, None)))
            width = wider
    C = layers[0].inner[0][0].in_channels if isinstance(layers[0], _Residual) else layers[0][0][0].in_channels  # type: ignore[index, union-attr]
    return _specimen(draw, "inverted", nn.Sequential(*layers), (N, C, H), width)


class _Block(nn.Module):
    """A transformer's block, normalised before each half."""

    def __init__(self, D: int, heads: int, factor: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(2))
        self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.mlp = nn.Sequential(nn.Linear(D, factor * D), nn.GELU(), nn.Dropout(0.0), nn.Linear(factor * D, D))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        N, T, D = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(N, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, T, D)
        x = x + self.out(mixed)
        out: Tensor = x + self.mlp(self.norms[1](x))
        return out


class _Transformer(nn.Module):
    """Words or patches → their features → blocks → a head on the first place."""

    def __init__(self, entry: nn.Module, D: int, heads: int, blocks: int, classes: int) -> None:
        super().__init__()
        self.entry = entry
        self.blocks = nn.Sequential(*(_Block(D, heads, 4) for _ in range(blocks)))
        self.head = nn.Linear(D, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        x = x.flatten(2).transpose(1, 2) if x.dim() == 4 else x
        scores: Tensor = self.head(self.blocks(x)[:, 0])
        return scores


def _transformer(draw: random.Random, scale: int) -> Specimen:
    size = draw.choice((32, 64, 64, 80))
    heads = max(1, round(_between(draw, 96, 1024) / size))
    D, T = heads * size, round(_between(draw, 24, 400))
    N = max(1, round(min(32, _between(draw, 2**15, 2**20) / (T * D)))) * scale
    classes = round(_between(draw, 10, 2000))
    if draw.random() < 0.5:
        side, patch = max(2, round(T**0.5)), draw.choice((4, 8, 16))
        entry: nn.Module = nn.Conv2d(3, D, patch, patch)
        x = torch.randn(N, 3, side * patch, side * patch).contiguous(memory_format=torch.channels_last)
    else:
        words = round(_between(draw, 1000, 20000))
        entry, x = nn.Embedding(words, D), torch.randint(words, (N, T))
    model = _Transformer(entry, D, heads, 2, classes)
    return Specimen(f"transformer, {N}×{T}×{D}", model, x, classes)


class _Recurrent(nn.Module):
    """Words → LSTM → a head on the last state."""

    def __init__(self, words: int, D: int, H: int, layers: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, D)
        self.lstm = nn.LSTM(D, H, layers, batch_first=True)
        self.head = nn.Linear(H, classes)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.lstm(self.embedding(x))[0][:, -1])
        return scores


def _recurrent(draw: random.Random, scale: int) -> Specimen:
    D, H = (8 * round(_between(draw, 40, 700) / 8) for _ in range(2))
    N, T = round(_between(draw, 4, 300)) * scale, round(_between(draw, 8, 80))
    while N * T * H * (D + H) > 2**31:
        N = max(1, N // 2)
    words, classes = (round(_between(draw, 200, 8000)) for _ in range(2))
    model = _Recurrent(words, D, H, draw.choice((1, 1, 2)), classes)
    return Specimen(f"recurrent, {N}×{T}, {D} to {H}", model, torch.randint(words, (N, T)), classes)


def _linear(draw: random.Random, scale: int) -> Specimen:
    """Wide linear layers behind each other, some behind small images laid flat."""
    widths = [_channels(draw, 32, 6000) for _ in range(4)]
    N = round(_between(draw, 1, 400)) * scale
    C, H = _channels(draw, 8, 64), draw.choice((2, 3, 4, 5))
    layers: list[nn.Module] = [nn.Conv2d(1, C, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    width = C * H * H
    for wider in widths:
        layers += [nn.Linear(width, wider), nn.ReLU(), nn.Dropout(draw.choice((0.0, 0.5)))]
        width = wider
    classes = round(_between(draw, 10, 2000))
    model = nn.Sequential(*layers, nn.Linear(width, classes))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(N, 1, 2 * H, 2 * H)
    return Specimen(f"linear, {N}, {'×'.join(map(str, widths))}", model, x, classes)


class _Permuted(nn.Module):
    """Depthwise convolution, then a normalization and an MLP over the channels, moved last and back."""

    def __init__(self, C: int, r: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(C, C, r, padding=r // 2, groups=C)
        self.norm, self.mlp = nn.LayerNorm(C), nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(), nn.Linear(4 * C, C))
        self.scale = nn.Parameter(torch.ones(C, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.mlp(self.norm(self.depthwise(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        out: Tensor = x + self.scale * inner
        return out


def _permuted(draw: random.Random, scale: int) -> Specimen:
    C, patch = _channels(draw, 32, 512), draw.choice((2, 4))
    N, H = _image(draw, scale, C, 2**21)
    blocks = [_Permuted(C, draw.choice((5, 7))) for _ in range(2)]
    body = nn.Sequential(nn.Conv2d(3, C, patch, patch), *blocks)
    return _specimen(draw, "permuted", body, (N, 3, H * patch), C)
