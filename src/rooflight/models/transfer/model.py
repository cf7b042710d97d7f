"""A base and a head as one model."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from rooflight.core.errors import ConfigError
from rooflight.models.transfer.base import Base, Head, find_base
from rooflight.models.transfer.blocks import blocks_of, freeze, train_blocks
from rooflight.models.transfer.texts import Encoder
from rooflight.models.transfer.weights import load_weights, packaged, read_weights

FLATTENED_UNITS = 256  # of the classic head
FEATURES = "features"  # inputs of that name went through the base already


class Transfer(nn.Module):
    """A frozen base, and a head that is trained; the base's top blocks too, if asked for.

    input    what the base takes: images (N, 3, H, W) normalised as its pretraining did, or a mapping of token tensors;
             also as arguments by name; or {"features": the base's output}, which goes to the head alone
    returns  class scores (N, classes)
    """

    def __init__(self, base: nn.Module, head: nn.Module, *, fine_tune: int = 0) -> None:
        """fine_tune: how many of the base's blocks are trained, counted from its output."""
        super().__init__()
        self.base, self.head = base, head
        self.origin = "drawn at random"  # where the base's weights are from
        freeze(base)
        blocks = blocks_of(getattr(base, "encoder", base))
        if fine_tune > len(blocks):
            raise ConfigError(f"--fine-tune {fine_tune}: this base has {len(blocks)} blocks.")
        self.tuned = [module for block in blocks[len(blocks) - fine_tune :] for module in block]
        for module in self.tuned:
            module.requires_grad_(True)

    def forward(self, inputs: Tensor | Mapping[str, Tensor] | None = None, **named: Tensor) -> Tensor:
        inputs = named if inputs is None else inputs
        if isinstance(inputs, Tensor):
            features = self.base(inputs)
        elif FEATURES in inputs:
            features = inputs[FEATURES]
        else:
            features = self.base(**inputs)
        scores: Tensor = self.head(features)
        return scores

    def train(self, mode: bool = True) -> "Transfer":
        """The frozen part stays as in inference: its dropout off, its batch statistics those of the pretraining."""
        super().train(mode)
        self.base.eval()
        if mode:
            train_blocks(self.tuned)
        return self


def build_transfer(
    name: str, classes: int, *, head: Head | None = None, size: int | None = None, fine_tune: int = 0
) -> Transfer:
    """The model of "transfer:vgg16", with weights drawn at random: `load_base` brings the base's.

    head    None: the base's usual one
    size    of the images; None: the base's usual one
    raises  ConfigError, BackendError
    """
    found = find_base(name)
    head = head or found.head
    base = found.build(head)
    return Transfer(base, make_head(head, _features(found, base, head, size), classes), fine_tune=fine_tune)


def make_head(head: Head, features: tuple[int, ...], classes: int) -> nn.Sequential:
    """flatten: Flatten, Dense 256, ReLU, Dense classes, the classic of VGG16. pooled: Dense classes alone.

    features  shape of one sample's
    """
    count = torch.Size(features).numel()
    if head == "flatten":
        layers = (nn.Linear(count, FLATTENED_UNITS), nn.ReLU(), nn.Linear(FLATTENED_UNITS, classes))
        return nn.Sequential(nn.Flatten(), *layers)
    return nn.Sequential(nn.Flatten(), nn.Linear(count, classes))


def load_base(found: Base, base: nn.Module, weights: str | None) -> str:
    """Bring the base its weights; returns where they are from.

    weights  a file, "random", or None: an installed package that carries them, else the library's hub
    """
    if weights == "random":
        return "drawn at random, as asked: it knows nothing"
    file = Path(weights).expanduser() if weights else packaged(found.package) if found.package else None
    if file is None:
        return found.download(base)
    said = load_weights(base, read_weights(file), source=str(file), in_order=found.in_order)
    return f"{file.name}, {said}"


def _features(found: Base, base: nn.Module, head: Head, size: int | None) -> tuple[int, ...]:
    """The shape of a sample's features, by a pass that computes shapes alone."""
    if isinstance(base, Encoder):
        return (base.hidden,)
    assert found.pixels is not None
    side = size or found.pixels.crop
    sample = torch.zeros(1, 3, side, side, device="meta")
    state = {name: tensor.to("meta") for name, tensor in chain(base.named_parameters(), base.named_buffers())}
    try:
        with torch.no_grad():
            shape = tuple(functional_call(base.eval(), state, (sample,)).shape[1:])
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"--image-size {side}: {found.name} does not take such images ({reason}).") from None
    if head == "flatten" and len(shape) == 2:
        raise ConfigError(f"--head flatten: {found.name} gives tokens, no map. Try --head pooled.")
    return shape
