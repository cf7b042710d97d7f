"""Models by the names that the rows use, as functions that build them."""

from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.accuracy.cases import NotPredicted, Recipe

Build = Callable[[], nn.Module]


def builder(recipe: Recipe) -> Build:
    """A function that builds the recipe's model, in the dtype of its weights.

    raises  NotPredicted if no library knows the name
    """
    library, _, name = recipe.model.partition(":")
    if library == "timm":
        return _timm(name, recipe)
    if library == "torchvision":
        return _torchvision(name)
    raise NotPredicted(f"no library for {recipe.model}")


def _timm(name: str, recipe: Recipe) -> Build:
    import timm

    if not timm.is_model(name):
        raise NotPredicted("timm has no model of this name any more")

    def build() -> nn.Module:
        timm.layers.set_fused_attn(recipe.fused_attention)
        size = recipe.input_shape[-1]
        model = timm.create_model(name)
        wants = getattr(model, "default_cfg", {}).get("input_size", (3, size, size))[-1]
        if wants != size and _takes_size(name, size):
            model = timm.create_model(name, img_size=size)
        return model

    return build


def _takes_size(name: str, size: int) -> bool:
    """Position embeddings are made for one size; a convolution takes any."""
    import timm

    try:
        timm.create_model(name, img_size=size)
    except (TypeError, RuntimeError):
        return False
    return True


def _torchvision(name: str) -> Build:
    import torchvision

    known: Any = torchvision.models
    if name not in known.list_models():
        raise NotPredicted("torchvision has no model of this name")

    def build() -> nn.Module:
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return known.get_model(name, weights=None, **options)

    return build
