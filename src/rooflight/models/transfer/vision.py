"""torchvision's classifiers as bases."""

from functools import partial
from typing import Any, cast

from torch import nn

from rooflight.core.errors import ConfigError, nearest
from rooflight.models.transfer.base import Base, Head, Pixels

# Their published weights come with auxiliary heads, which training the classifier used; and with inputs that the model
# itself brings from ImageNet's mean and deviation to ½ and ½.
_GOOGLES: dict[str, Any] = {"init_weights": False, "aux_logits": False, "transform_input": True}
SETTINGS = {"googlenet": _GOOGLES, "inception_v3": _GOOGLES}
CLASSIFIERS = ("classifier", "fc", "heads", "head")  # what the last part of a torchvision model is called
# Their classifier begins with a normalisation, which was pretrained with the base: its last layer alone goes.
NORM_FIRST = ("ConvNeXt", "MaxVit")
# Their average pool keeps a map of several pixels, for the classifier that goes.
WIDE_POOL = ("VGG", "AlexNet")


def names() -> list[str]:
    """Classifiers of images that a head can be put on."""
    from torchvision import models

    return list(models.list_models(module=models))


def base(name: str) -> Base:
    """The classifier of that name. raises ConfigError with the nearest ones."""
    if name not in names():
        raise ConfigError(f"torchvision has no classifier {name!r}.{nearest(name, names())}")
    return Base(
        name=name,
        build=partial(_build, name),
        download=partial(_download, name),
        head="flatten" if name.startswith("vgg") else "pooled",
        pixels=_pixels(name),
    )


def _build(name: str, head: Head) -> nn.Module:
    from torchvision import models

    model: nn.Module = models.get_model(name, weights=None, **SETTINGS.get(name, {}))
    kind = type(model).__name__
    last = next(attribute for attribute in CLASSIFIERS if hasattr(model, attribute))
    if kind in NORM_FIRST:
        cast(nn.Sequential, model.get_submodule(last))[-1] = nn.Identity()
    elif kind == "SqueezeNet":  # its classifier is a convolution, and pools behind it
        setattr(model, last, nn.Identity() if head == "flatten" else nn.AdaptiveAvgPool2d(1))
    else:
        setattr(model, last, nn.Identity())
    if head == "flatten" and kind != "SqueezeNet":
        if not isinstance(getattr(model, "avgpool", None), nn.Module):
            raise ConfigError(f"--head flatten: {name} pools within itself, and has no map to flatten. Try pooled.")
        model.avgpool = nn.Identity()
    elif kind in WIDE_POOL:
        model.avgpool = nn.AdaptiveAvgPool2d(1)
    return model


def _pixels(name: str) -> Pixels:
    from torchvision import models

    preset = models.get_model_weights(name).DEFAULT.transforms()  # type: ignore[attr-defined]
    return Pixels(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )


def _download(name: str, model: nn.Module) -> str:
    from torchvision import models

    from rooflight.models.transfer.weights import load_state, refuse_download

    weights = models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a file that is not what its name says
        raise refuse_download(f"torchvision's weights of {name}", error) from None
    load_state(model, state, source=weights.url)
    return f"torchvision's {weights}"
