"""WaveGlow as NVIDIA's DeepLearningExamples trains it on segments of LJSpeech.

source  PyTorch/SpeechSynthesis/Tacotron2/waveglow/model.py: 12 flows on groups of 8 samples, each an invertible 1 × 1
        convolution and a WaveNet of 8 dilated layers, 512 channels wide; two channels leave after every fourth flow;
        segments of 8,000 samples (Prenger et al., arXiv 1811.00002)
"""

import torch
from torch import Tensor, nn

GROUP, FLOWS, LAYERS, WIDTH, BANDS = 8, 12, 8, 512, 80


class WaveGlow(nn.Module):
    """(N, 1, 8000) samples → (N, 8, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose1d(BANDS, BANDS, 1024, stride=256)
        channels = [GROUP - 2 * (flow // 4) for flow in range(FLOWS)]
        self.mixing = nn.ModuleList(nn.Conv1d(count, count, 1, bias=False) for count in channels)
        self.nets = nn.ModuleList(WaveNet(count // 2) for count in channels)

    def forward(self, samples: Tensor) -> Tensor:
        n, _, length = samples.shape
        steps = length // GROUP
        mel = torch.zeros(n, BANDS, length // 256 + 1, dtype=samples.dtype, device=samples.device)
        near = self.upsample(mel)[:, :, :length].unflatten(2, (steps, GROUP)).transpose(2, 3).flatten(1, 2)
        x, left = samples.squeeze(1).unflatten(1, (steps, GROUP)).transpose(1, 2), []
        for number, (mixing, net) in enumerate(zip(self.mixing, self.nets, strict=True)):
            if number % 4 == 0 and number:
                left.append(x[:, :2])
                x = x[:, 2:]
            kept, changed = mixing(x).chunk(2, dim=1)
            shift, scale = net(kept, near).chunk(2, dim=1)
            x = torch.cat((kept, torch.exp(scale) * changed + shift), dim=1)
        return torch.cat((*left, x), dim=1)


class WaveNet(nn.Module):
    """Dilated convolutions with gates, told the spectrogram."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.start, self.end = nn.Conv1d(channels, WIDTH, 1), nn.Conv1d(WIDTH, 2 * channels, 1)
        self.told = nn.Conv1d(BANDS * GROUP, 2 * WIDTH * LAYERS, 1)
        self.dilated = nn.ModuleList(
            nn.Conv1d(WIDTH, 2 * WIDTH, 3, dilation=2**layer, padding=2**layer) for layer in range(LAYERS)
        )
        self.outs = nn.ModuleList(
            nn.Conv1d(WIDTH, 2 * WIDTH if layer < LAYERS - 1 else WIDTH, 1) for layer in range(LAYERS)
        )

    def forward(self, x: Tensor, near: Tensor) -> Tensor:
        x, summed = self.start(x), 0.0
        for dilated, out, told in zip(self.dilated, self.outs, self.told(near).chunk(LAYERS, dim=1), strict=True):
            both = dilated(x) + told
            gated, filtered = both.chunk(2, dim=1)
            found = out(torch.tanh(gated) * torch.sigmoid(filtered))
            if found.shape[1] == WIDTH:
                summed = summed + found
            else:
                kept, skipped = found.chunk(2, dim=1)
                x, summed = x + kept, summed + skipped
        scores: Tensor = self.end(summed)
        return scores
