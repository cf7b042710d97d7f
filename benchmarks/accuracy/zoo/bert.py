"""BERT by its dimensions (Devlin et al., arXiv 1810.04805), with the head that a benchmark puts on it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARY = 30528  # 30,522, padded to a multiple of 8 as NVIDIA's scripts do


class Bert(nn.Module):
    """(N, T) token ids → (N, head, T) scores. head 2: question answering; the vocabulary: masked words; 0: none."""

    def __init__(self, *, layers: int, width: int, heads: int, head: int, fused: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.positions, self.types = nn.Embedding(512, width), nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.ModuleList(Layer(width, heads, fused) for _ in range(layers))
        self.masked = head == VOCABULARY
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width)) if self.masked else None
        self.head = nn.Linear(width, head) if head else None
        if self.masked and self.head is not None:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        where = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embed(tokens) + self.positions(where) + self.types(torch.zeros_like(tokens))
        x = self.drop(self.norm(x))
        for block in self.blocks:
            x = block(x)
        if self.transform is not None:
            x = self.transform(x[:, : max(1, round(0.156 * x.shape[1]))])  # 80 of 512 and 20 of 128 words are masked
        scores: Tensor = x if self.head is None else self.head(x)
        return scores.transpose(1, 2)


class Layer(nn.Module):
    """Attention and feed-forward; a norm comes after each residual."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x + self.drop(self.out(self._attend(x))))
        out: Tensor = self.second(x + self.drop(self.down(F.gelu(self.up(x)))))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        parts = (linear(x).view(n, t, self.heads, d // self.heads) for linear in (self.query, self.key, self.value))
        q, k, v = (part.transpose(1, 2) for part in parts)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0)
        else:
            mask = torch.zeros(n, 1, 1, t, dtype=x.dtype, device=x.device)
            scores = q @ k.transpose(-1, -2) / 8.0 + mask
            mixed = self.drop(torch.softmax(scores, dim=-1)) @ v
        return mixed.transpose(1, 2).reshape(n, t, d)
