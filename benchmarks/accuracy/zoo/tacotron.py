"""Tacotron 2 as NVIDIA's DeepLearningExamples trains it on LJSpeech.

source  PyTorch/SpeechSynthesis/Tacotron2/tacotron2: 512 wide encoder of three convolutions and a bidirectional LSTM;
        two LSTM cells of 1,024 that take one frame of the spectrogram at a time, with location-sensitive attention of
        128; five convolutions after them. A clip of LJSpeech is 6.6 seconds long: 566 frames of 80 bands, 100 letters.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BANDS, WIDTH, CELLS, LETTERS = 80, 512, 1024, 100


class Tacotron2(nn.Module):
    """(N, T) ids, of which T alone counts: the frames to make → (N, 80, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(148, WIDTH)
        self.convs = nn.Sequential(*(part for _ in range(3) for part in _conv(WIDTH, WIDTH, nn.ReLU())))
        self.encoder = nn.LSTM(WIDTH, WIDTH // 2, batch_first=True, bidirectional=True)
        self.before = nn.Sequential(
            nn.Linear(BANDS, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5)
        )
        self.attending, self.decoding = nn.LSTMCell(256 + WIDTH, CELLS), nn.LSTMCell(CELLS + WIDTH, CELLS)
        self.memory, self.query = nn.Linear(WIDTH, 128, bias=False), nn.Linear(CELLS, 128, bias=False)
        self.places, self.place = nn.Conv1d(2, 32, 31, padding=15, bias=False), nn.Linear(32, 128, bias=False)
        self.energy = nn.Linear(128, 1, bias=False)
        self.frame, self.gate = nn.Linear(CELLS + WIDTH, BANDS), nn.Linear(CELLS + WIDTH, 1)
        widths = (BANDS, WIDTH, WIDTH, WIDTH, WIDTH, BANDS)
        self.after = nn.Sequential(*(part for one, other in pairwise(widths) for part in _conv(one, other, nn.Tanh())))

    def forward(self, tokens: Tensor) -> Tensor:
        n, frames = tokens.shape
        letters = tokens[:, :1].expand(n, LETTERS)
        memory, _ = self.encoder(self.convs(self.embed(letters).transpose(1, 2)).transpose(1, 2))
        keys = self.memory(memory)
        taught = self.before(torch.zeros(n, frames, BANDS, dtype=memory.dtype, device=memory.device))
        context = memory[:, 0]
        weights = torch.zeros(n, 2, LETTERS, dtype=memory.dtype, device=memory.device)
        first = second = None
        made = []
        for number in range(frames):
            first = self.attending(torch.cat((taught[:, number], context), dim=1), first)
            where = self.place(self.places(weights).transpose(1, 2))
            energy = self.energy(torch.tanh(self.query(first[0]).unsqueeze(1) + keys + where)).squeeze(2)
            scores = torch.softmax(energy, dim=1)
            context = torch.bmm(scores.unsqueeze(1), memory).squeeze(1)
            weights = torch.stack((scores, weights[:, 1] + scores), dim=1)
            second = self.decoding(torch.cat((first[0], context), dim=1), second)
            out = torch.cat((second[0], context), dim=1)
            made.append(self.frame(out) + F.sigmoid(self.gate(out)))
        mel = torch.stack(made, dim=2)
        spectrogram: Tensor = mel + self.after(mel)
        return spectrogram


def _conv(before: int, after: int, last: nn.Module) -> tuple[nn.Module, ...]:
    return nn.Conv1d(before, after, 5, padding=2), nn.BatchNorm1d(after), last, nn.Dropout(0.5)
