"""The big Transformer for translation (Vaswani et al., arXiv 1706.03762), as fairseq and NVIDIA's scripts train it."""

import torch
from torch import Tensor, nn

WIDTH, HEADS, HIDDEN, LAYERS, VOCABULARY = 1024, 16, 4096, 6, 33712


class TransformerBig(nn.Module):
    """(N, 2·T) ids, source then target → (N, vocabulary, T) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = nn.ModuleList(Layer(crosses=False) for _ in range(LAYERS))
        self.decoder = nn.ModuleList(Layer(crosses=True) for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        source, target = self.embed(tokens).chunk(2, dim=1)
        for layer in self.encoder:
            source = layer(source, None)
        for layer in self.decoder:
            target = layer(target, source)
        scores: Tensor = self.head(target)
        return scores.transpose(1, 2)


class Layer(nn.Module):
    """Self-attention, attention to the source in the decoder, feed-forward; a norm before each."""

    def __init__(self, *, crosses: bool) -> None:
        super().__init__()
        self.own = Attention()
        self.cross = Attention() if crosses else None
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, source: Tensor | None) -> Tensor:
        y = self.norms[0](x)
        x = x + self.drop(self.own(y, y))
        if self.cross is not None and source is not None:
            x = x + self.drop(self.cross(self.norms[1](x), source))
        out: Tensor = x + self.drop(self.down(torch.relu(self.up(self.norms[2](x)))))
        return out


class Attention(nn.Module):
    """Not fused: bmm, softmax, dropout, bmm."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        n, t, _ = x.shape
        q = self.query(x).view(n, t, HEADS, -1).transpose(1, 2)
        k, v = (part(source).view(n, source.shape[1], HEADS, -1).transpose(1, 2) for part in (self.key, self.value))
        weights = self.drop(torch.softmax(q @ k.transpose(-1, -2) / 8.0, dim=-1))
        mixed = (weights @ v).transpose(1, 2).reshape(n, t, WIDTH)
        out: Tensor = self.out(mixed)
        return out
