"""What a user's model gives, as the scores that cross entropy takes; and how that is found out."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, ShapeError

Outputs = Literal["scores", "probabilities", "logit", "probability", "values"]
SUM_TOLERANCE = 1e-4  # of probabilities: bfloat16 is not among what is probed


def tensor_of(outputs: Any, name: str) -> Tensor:
    """The scores among what a model gives: a tensor, `.logits`, or the first of a tuple.

    raises  ConfigError for anything else
    """
    if isinstance(outputs, Tensor):
        return outputs
    found = getattr(outputs, "logits", None)
    if found is None and isinstance(outputs, Mapping):
        found = outputs.get("logits")
    if found is None and isinstance(outputs, tuple | list) and outputs:
        found = outputs[0]
    if not isinstance(found, Tensor):
        raise ConfigError(
            f"{name} gives a {type(outputs).__name__} without logits. Try a model that returns a tensor of scores."
        )
    return found


class Scores(nn.Module):
    """A model whose outputs are turned into class scores (N, K), or values."""

    def __init__(self, model: nn.Module, outputs: Outputs, name: str) -> None:
        super().__init__()
        self.model, self.outputs, self.name = model, outputs, name

    def forward(self, batch: Any) -> Tensor:
        """batch: as the model takes it."""
        found = tensor_of(self.model(batch), self.name)
        match self.outputs:
            case "probabilities":  # softmax of their logarithms gives them back
                return _log(found)
            case "logit":
                return torch.cat([torch.zeros_like(found), found], 1)
            case "probability":
                return torch.cat([_log(1 - found), _log(found)], 1)
        return found[:, None] if found.dim() == 1 else found


def _log(probabilities: Tensor) -> Tensor:
    """Never −∞: a probability that underflowed is the smallest normal number."""
    return probabilities.float().clamp_min(torch.finfo(torch.float32).tiny).log()


@torch.no_grad()
def find_outputs(model: nn.Module, batch: Any, classes: int, name: str) -> tuple[Outputs, bool]:
    """What the model gives for a batch of real samples, and whether it gives a plain tensor (N, …).

    classes  that the data has; 0: its targets are numbers
    raises   ConfigError, ShapeError with one sentence for a model that does not fit
    """
    was = model.training
    model.eval()
    try:
        raw = model(batch)
    except SystemExit:
        raise ConfigError(f"{name} ends the process in its forward pass. Try one that returns its outputs.") from None
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        shape = tuple(batch.shape[1:])
        raise ShapeError(
            f"{name} does not take a sample of shape {shape}: {reason}. Try another INPUT_SHAPE."
        ) from None
    finally:
        model.train(was)
    found = tensor_of(raw, name)
    if len(found) != len(batch) or not found.is_floating_point():
        raise ShapeError(f"{name} gives {tuple(found.shape)} of {found.dtype} for {len(batch)} samples.")
    if not bool(found.isfinite().all()):
        raise ConfigError(f"{name} gives no finite numbers before the first step. Try other first weights, or inputs.")
    plain = isinstance(raw, Tensor) and raw.dim() > 1
    if not classes:
        return "values", plain
    if found.shape[1:] == (1,) and classes == 2:
        return ("probability" if _ends_in(model, nn.Sigmoid) else "logit"), plain
    if found.shape[1:] != (classes,):
        gives = found.shape[1] if found.dim() == 2 else tuple(found.shape[1:])
        raise ShapeError(
            f"{name} gives {gives} scores, the data has {classes} classes. Try a last layer of {classes}, or a build "
            "function that takes classes."
        )
    sums = found.sum(1)
    summed = bool((found >= 0).all()) and bool((sums - 1).abs().max() < SUM_TOLERANCE)
    return ("probabilities" if summed else "scores"), plain


def _ends_in(model: nn.Module, kind: type[nn.Module]) -> bool:
    leaves = [module for module in model.modules() if not list(module.children())]
    return bool(leaves) and isinstance(leaves[-1], kind)
