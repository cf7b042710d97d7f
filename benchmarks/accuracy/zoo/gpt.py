"""Decoder-only transformers by their dimensions: MPT, Llama, Qwen, phi and the like."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One decoder. gated: SwiGLU's three matrices instead of two; heads that share keys and values: fewer kv_heads."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    gated: bool
    tied: bool = False
    rotary: bool = True
    layer_norm: bool = False
    positions: int = 0  # learned ones


def _learned(layers: int, width: int, heads: int, vocabulary: int, positions: int) -> Shape:
    """The GPT-2 form: learned positions, layer norms, four times the width in between."""
    return Shape(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=heads,
        hidden=4 * width,
        vocabulary=vocabulary,
        gated=False,
        tied=True,
        rotary=False,
        layer_norm=True,
        positions=positions,
    )


def _mpt(layers: int, width: int, heads: int) -> Shape:
    return _learned(layers, width, heads, 50368, 2048)


# llm-foundry scripts/train/benchmarking and scripts/train/yamls/pretrain; Llama 2, arXiv 2307.09288; Llama 3, arXiv
# 2407.21783; Qwen, arXiv 2309.16609; phi-1.5, arXiv 2309.05463; config.json of each model.
SHAPES: Mapping[str, Shape] = {
    "mpt-125m": _mpt(12, 768, 12),
    "mpt-350m": _mpt(24, 1024, 16),
    "mpt-760m": _mpt(24, 1536, 12),
    "mpt-1b": _mpt(24, 2048, 16),
    "mpt-3b": _mpt(32, 2560, 20),
    "mpt-7b": _mpt(32, 4096, 32),
    "mpt-13b": _mpt(40, 5120, 40),
    "mpt-30b": _mpt(48, 7168, 56),
    "mpt-70b": _mpt(80, 8192, 64),
    "llama-2-7b": Shape(layers=32, width=4096, heads=32, kv_heads=32, hidden=11008, vocabulary=32000, gated=True),
    "llama-2-13b": Shape(layers=40, width=5120, heads=40, kv_heads=40, hidden=13824, vocabulary=32000, gated=True),
    "llama-3.1-8b": Shape(layers=32, width=4096, heads=32, kv_heads=8, hidden=14336, vocabulary=128256, gated=True),
    "llama-3.1-70b": Shape(layers=80, width=8192, heads=64, kv_heads=8, hidden=28672, vocabulary=128256, gated=True),
    "qwen-1.8b": Shape(layers=24, width=2048, heads=16, kv_heads=16, hidden=5504, vocabulary=151936, gated=True),
    "qwen-7b": Shape(layers=32, width=4096, heads=32, kv_heads=32, hidden=11008, vocabulary=151936, gated=True),
    "qwen-14b": Shape(layers=40, width=5120, heads=40, kv_heads=40, hidden=13696, vocabulary=152064, gated=True),
    "qwen-72b": Shape(layers=80, width=8192, heads=64, kv_heads=64, hidden=24576, vocabulary=152064, gated=True),
    "gpt2-large": _learned(36, 1280, 20, 50257, 1024),
    "gpt3-xl": _learned(24, 2048, 16, 50257, 2048),
    "gpt3-2.7b": _learned(32, 2560, 32, 50257, 2048),
    "opt-1.3b": _learned(24, 2048, 32, 50272, 2050),
    "phi-1.5": Shape(
        layers=24, width=2048, heads=32, kv_heads=32, hidden=8192, vocabulary=51200, gated=False, layer_norm=True
    ),
}


class Decoder(nn.Module):
    """(N, T) token ids → (N, vocabulary, T) scores."""

    def __init__(self, shape: Shape, *, fused: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width) if shape.positions else None
        self.blocks = nn.ModuleList(Block(shape, fused=fused) for _ in range(shape.layers))
        self.norm = _norm(shape)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        if shape.tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[:1]
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x))
        return scores.transpose(1, 2)


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and beside a residual."""

    def __init__(self, shape: Shape, *, fused: bool) -> None:
        super().__init__()
        self.shape, self.fused = shape, fused
        self.head_width = shape.width // shape.heads
        self.before = _norm(shape)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key_value = nn.Linear(shape.width, 2 * shape.kv_heads * self.head_width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.between = _norm(shape)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False) if shape.gated else None
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.out(self._attend(self.before(x)))
        y = self.between(x)
        hidden = F.silu(self.gate(y)) * self.up(y) if self.gate is not None else F.gelu(self.up(y))
        out: Tensor = x + self.down(hidden)
        return out

    def _attend(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.query(x).view(n, t, self.shape.heads, self.head_width)
        k, v = self.key_value(x).view(n, t, self.shape.kv_heads, 2 * self.head_width).chunk(2, dim=-1)
        if self.shape.rotary:
            q, k = _rotate(q), _rotate(k)
        repeats = self.shape.heads // self.shape.kv_heads
        k, v = (part.repeat_interleave(repeats, 2) if repeats > 1 else part for part in (k, v))
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            causal = torch.ones(t, t, dtype=torch.bool, device=x.device)
            scores = q @ k.transpose(-1, -2) * self.head_width**-0.5
            mixed = torch.softmax(torch.where(causal, scores, -1e4), dim=-1) @ v
        return mixed.transpose(1, 2).reshape(n, t, -1)


def _rotate(x: Tensor) -> Tensor:
    """Rotary position: two halves crossed, with tables of sines and cosines (here ones: only the work counts)."""
    table = torch.ones(x.shape[1], 1, x.shape[-1], dtype=x.dtype, device=x.device)
    low, high = x.chunk(2, dim=-1)
    return x * table + torch.cat((-high, low), dim=-1) * table


def _norm(shape: Shape) -> nn.Module:
    return nn.LayerNorm(shape.width) if shape.layer_norm else nn.RMSNorm(shape.width)
