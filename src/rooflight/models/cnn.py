"""The CNN of the classic tutorial, for images of 28×28×1."""

import torch
from torch import Tensor, nn

# The second pool halves 11 rows to 5 and drops the last; what that row alone reads is never used: row 12 of the first
# pool, and rows 26 and 27 of the picture. Columns alike. Leaving them out gives the same scores and the same gradients
# for a sixth less work.
USED = 26


class Cnn(nn.Module):
    """Conv 32, pool, Conv 64, pool, Conv 64, Dense 64, Dense classes; every convolution is 3×3 without padding.

    input    (N, channels, 28, 28), normalised
    returns  class scores (N, classes); 93,322 parameters for one channel and ten classes
    source   https://www.tensorflow.org/tutorials/images/cnn, for 28×28×1
    """

    def __init__(self, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        # ReLU follows the pool: max(relu(x)) = relu(max(x)), gradients too, and it then reads a quarter of the pixels.
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(32, 64, 3), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(64, 64, 3), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(64 * 3 * 3, 64), nn.ReLU(), nn.Linear(64, classes))
        # As the tutorial's Keras layers start; docs/log.md compares it with PyTorch's own.
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.flatten(self.features(x[:, :, :USED, :USED]), 1))
        return scores
