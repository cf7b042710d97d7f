"""Plain PyTorch: the model and the loop as a tutorial writes them, tensors in memory. Run with python -m."""

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.bench.contender import LEARNING_RATE, WORDS, FirstStep, ModelName, Task, arrays, compete


class TorchContender:
    """A module, its optimizer and its tensors."""

    def __init__(self, task: Task, first: FirstStep) -> None:
        torch.set_num_threads(task.threads)
        self.device, self.batch, self.first = torch.device(task.device), task.batch, first
        self.autocast = torch.autocast(task.device, torch.bfloat16, enabled=task.dtype == "bfloat16")
        self.x, self.y = (tensor.to(self.device) for tensor in torch_arrays(task))
        self.model = network(task.model).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.versions = {"torch": torch.__version__}

    def train(self, epochs: int) -> list[float]:
        """Rates of whole epochs."""
        self.model.train()
        rates = []
        for _ in range(epochs):
            begin = time.perf_counter()
            for x, y in zip(self.x.split(self.batch), self.y.split(self.batch), strict=True):
                self.optimizer.zero_grad()
                with self.autocast:
                    loss = F.cross_entropy(self.model(x), y)
                loss.backward()
                self.optimizer.step()
                if self.first.seconds is None:
                    self._wait()
                    self.first.done()
            self._wait()
            rates.append(len(self.y) / (time.perf_counter() - begin))
        return rates

    def infer(self) -> Tensor:
        """Scores of the first batch."""
        self.model.eval()
        with torch.inference_mode(), self.autocast:
            scores: Tensor = self.model(self.x[: self.batch])
        self._wait()
        return scores

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class TextModel(nn.Module):
    """Embedding, LSTM, Dense on the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.dense = nn.Linear(128, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T) → (N, words)."""
        states, _ = self.lstm(self.embedding(x))
        scores: Tensor = self.dense(states[:, -1])
        return scores


def network(model: ModelName) -> nn.Module:
    """The model as PyTorch's tutorials write it, NCHW."""
    if model == "lstm":
        return TextModel()
    if model == "vgg16":
        from torchvision.models import vgg16

        base = vgg16(weights=None).features.requires_grad_(False)
        return nn.Sequential(base, nn.Flatten(), nn.Linear(25088, 256), nn.ReLU(), nn.Linear(256, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def torch_arrays(task: Task) -> tuple[Tensor, Tensor]:
    """The task's data as PyTorch reads them: (N, C, H, W) or (N, T) int64, and labels."""
    x, y = (torch.from_numpy(array) for array in arrays(task))
    return (x.long() if task.model == "lstm" else x.permute(0, 3, 1, 2).contiguous()), y


if __name__ == "__main__":
    compete(TorchContender)
