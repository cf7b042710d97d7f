"""Early stopping by a held-out part of the training set, and the best weights that it saw."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long to wait for a better validation loss."""

    epochs: int  # without a better one
    loss: float = float("inf")  # the best so far
    waited: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)  # the state dict that gave it

    def see(self, loss: float, model: nn.Module) -> None:
        """The validation loss after an epoch, and the model that gave it."""
        if loss < self.loss:
            self.loss, self.waited = loss, 0
            self.best = {name: value.detach().clone() for name, value in model.state_dict().items()}
        else:
            self.waited += 1

    @property
    def over(self) -> bool:
        """Is it time to stop?"""
        return self.waited >= self.epochs

    def document(self) -> dict[str, Any]:
        """What is no tensor. JSON has no infinity."""
        return {"loss": self.loss if self.best else None, "waited": self.waited}

    def load(self, document: dict[str, Any], best: dict[str, Tensor]) -> None:
        """Go on from what `document` and `best` were."""
        self.loss = float("inf") if document["loss"] is None else float(document["loss"])
        self.waited = int(document["waited"])
        self.best = {name: value.clone() for name, value in best.items()}
