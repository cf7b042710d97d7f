"""Neural collaborative filtering, NeuMF, as NVIDIA's DeepLearningExamples trains it on MovieLens 20M.

source  PyTorch/Recommendation/NCF/neumf.py and ncf.py: 138,493 users, 26,744 films, 64 factors, layers of 256, 256, 128
        and 64 units
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

USERS, FILMS, FACTORS, LAYERS = 138_493, 26_744, 64, (256, 256, 128, 64)


class NeuMf(nn.Module):
    """(N, 2) ids of a user and a film → (N, 2) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.ModuleList(nn.Embedding(count, FACTORS) for count in (USERS, FILMS))
        self.inputs = nn.ModuleList(nn.Embedding(count, LAYERS[0] // 2) for count in (USERS, FILMS))
        layers = pairwise(LAYERS)
        self.layers = nn.Sequential(
            *(part for before, after in layers for part in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.5)))
        )
        self.head = nn.Linear(FACTORS + LAYERS[-1], 2)

    def forward(self, pairs: Tensor) -> Tensor:
        user, film = pairs.unbind(1)
        product = self.factors[0](user) * self.factors[1](film)
        inner = self.layers(torch.cat((self.inputs[0](user), self.inputs[1](film)), dim=1))
        scores: Tensor = self.head(torch.cat((product, inner), dim=1))
        return scores
