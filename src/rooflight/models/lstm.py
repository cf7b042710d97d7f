"""The classic recurrent text model: which word comes next?"""

from torch import Tensor, nn

WORDS = 1000  # in the vocabulary
LENGTH = 20  # words that it reads


class Lstm(nn.Module):
    """Embedding 1000×128, LSTM 128, Dense classes on the last word's state.

    input    (N, T) int64 token ids; T is 20 in the classic model, any length works
    returns  scores of the next word (N, classes); 389,096 parameters for 1,000 words. Keras counts 512 fewer: cuDNN's
             form, which PyTorch keeps, has two biases for each gate that are added to each other
    """

    def __init__(self, classes: int = WORDS, words: int = WORDS, features: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, features)
        self.lstm = nn.LSTM(features, features, batch_first=True)
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(x))
        scores: Tensor = self.head(states[:, -1])
        return scores
