"""The classic recurrent text model: which word comes next?"""

from typing import Literal

import torch
from torch import Tensor, nn

from rooflight.models.lstm_layer import last_state, unavailable

WORDS = 1000  # in the vocabulary
LENGTH = 20  # words that it reads


class Lstm(nn.Module):
    """Embedding 1000×128, LSTM 128, Dense classes on the last word's state.

    input    (N, T) int64 token ids; T is 20 in the classic model, any length works
    returns  scores of the next word (N, classes); 389,096 parameters for 1,000 words. Keras counts 512 fewer: cuDNN's
             form, which PyTorch keeps, has two biases for each gate that are added to each other
    """

    def __init__(
        self,
        classes: int = WORDS,
        words: int = WORDS,
        features: int = 128,
        *,
        layers: int = 1,
        cell: Literal["lstm", "gru"] = "lstm",
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, features)
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.recurrent = kind(features, features, num_layers=layers, batch_first=True)
        self.head = nn.Linear(features, classes)
        self.compiled = False  # whether training on a CPU in float32 takes the compiled steps

    def forward(self, x: Tensor) -> Tensor:
        compiled = self.compiled and self.training and torch.is_grad_enabled()
        if compiled and isinstance(self.recurrent, nn.LSTM):
            last = last_state(self.embedding, self.recurrent, x)
        else:
            states, _ = self.recurrent(self.embedding(x))
            last = states[:, -1]
        scores: Tensor = self.head(last)
        return scores

    def prepare_for(self, device: torch.device, dtype: torch.dtype) -> str:
        """Choose how its steps are computed in training; says which, and why. The weights are the same for all."""
        if device.type == "cuda":
            return "recurrent steps by cuDNN, or MIOpen: all of them in one call"
        if dtype != torch.float32 or not isinstance(self.recurrent, nn.LSTM):
            return "recurrent steps by PyTorch: the compiled ones are of an LSTM in float32"
        missing = unavailable()
        if missing is not None:
            return f"recurrent steps by PyTorch: {missing} for faster ones"
        self.compiled = True
        return "recurrent steps by numba: one pass over the gates between matrix products"
