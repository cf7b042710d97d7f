"""GNMT v2 as NVIDIA's DeepLearningExamples trains it: LSTMs of 1024, attention, a vocabulary of 32,320.

source  PyTorch/Translation/GNMT/seq2seq/models: 4 encoder layers (the first bidirectional), 4 decoder layers with
        normalised Bahdanau attention from the first one
"""

import torch
from torch import Tensor, nn

WIDTH, VOCABULARY = 1024, 32320


class Gnmt(nn.Module):
    """(N, 2·T) ids, source then target → (N, vocabulary, T) scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.first = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.encoder = nn.ModuleList(nn.LSTM(2 * WIDTH if i == 0 else WIDTH, WIDTH, batch_first=True) for i in range(3))
        self.attending = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, WIDTH, bias=False)
        self.score = nn.Linear(WIDTH, 1, bias=False)
        self.decoder = nn.ModuleList(nn.LSTM(2 * WIDTH, WIDTH, batch_first=True) for _ in range(3))
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.drop = nn.Dropout(0.2)

    def forward(self, tokens: Tensor) -> Tensor:
        source, target = self.embed(tokens).chunk(2, dim=1)
        memory, _ = self.first(self.drop(source))
        for number, layer in enumerate(self.encoder):
            after, _ = layer(self.drop(memory))
            memory = after + memory if number else after
        state, _ = self.attending(self.drop(target))
        context = self._attend(state, memory)
        for layer in self.decoder:
            after, _ = layer(self.drop(torch.cat((state, context), dim=-1)))
            state = after + state
        scores: Tensor = self.head(state)
        return scores.transpose(1, 2)

    def _attend(self, state: Tensor, memory: Tensor) -> Tensor:
        summed = torch.tanh(self.query(state).unsqueeze(2) + self.key(memory).unsqueeze(1))
        weights = torch.softmax(self.score(summed).squeeze(-1), dim=-1)
        return torch.bmm(weights, memory)
