"""Transformer-XL as NVIDIA's DeepLearningExamples trains it on WikiText-103.

source  PyTorch/LanguageModeling/Transformer-XL: base has 16 layers of 512, 8 heads of 64, 2048 in the feed-forward, 192
        tokens and as many of memory; large 18 layers of 1024, 16 heads of 64, 4096, 384 and 384; the vocabulary of
        267,735 words in an adaptive softmax cut at 19,997, 39,997 and 199,997
"""

import torch
from torch import Tensor, nn

VOCABULARY = 267735
CUTOFFS = [19997, 39997, 199997]
TAIL = 0.12  # share of WikiText-103's words that lie beyond the first cut: their clusters are computed for them alone


class TransformerXl(nn.Module):
    """(N, T) token ids → (N, classes, T) scores of the softmax's head; the tail's products are done beside it."""

    def __init__(self, *, layers: int, width: int, heads: int, hidden: int, memory: int) -> None:
        super().__init__()
        self.memory = memory
        self.embed = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.head = nn.Linear(width, CUTOFFS[0] + len(CUTOFFS))
        sizes = [CUTOFFS[1] - CUTOFFS[0], CUTOFFS[2] - CUTOFFS[1], VOCABULARY - CUTOFFS[2]]
        self.tails = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    def forward(self, tokens: Tensor) -> Tensor:
        n, t = tokens.shape
        x = self.embed(tokens)
        for block in self.blocks:
            kept = torch.zeros(n, self.memory, x.shape[-1], dtype=x.dtype, device=x.device)
            x = block(x, kept)
        scores: Tensor = self.head(x)
        some = x[:, : max(1, round(TAIL * t / len(CUTOFFS)))]
        rest = sum(tail(some).float().logsumexp(-1).mean() for tail in self.tails)
        every: Tensor = scores.transpose(1, 2) + rest
        return every


class Block(nn.Module):
    """Attention with relative positions over the memory and itself, then the feed-forward; norms come after."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, 64
        self.qkv = nn.Linear(width, 3 * heads * 64, bias=False)
        self.relative = nn.Linear(width, heads * 64, bias=False)
        self.out = nn.Linear(heads * 64, width, bias=False)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x = self.first(x + self.drop(self._attend(x, torch.cat((memory, x), dim=1))))
        forward = self.down(self.drop(torch.relu(self.up(x))))
        out: Tensor = self.second(x + self.drop(forward))
        return out

    def _attend(self, x: Tensor, whole: Tensor) -> Tensor:
        n, t, _ = x.shape
        s = whole.shape[1]
        q, k, v = (part.view(n, s, self.heads, 64).transpose(1, 2) for part in self.qkv(whole).chunk(3, dim=-1))
        q = q[:, :, -t:]
        positions = self.relative(whole[0]).view(s, self.heads, 64).permute(1, 2, 0)
        content = (q + 1.0) @ k.transpose(-1, -2)
        place = (q + 1.0) @ positions
        shifted = torch.cat((place[..., :1], place), dim=-1)[..., :s]  # the shift of relative positions is a copy
        weights = torch.softmax((content + shifted) * 0.125, dim=-1)
        mixed: Tensor = self.drop(weights) @ v
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(n, t, -1))
        return out
