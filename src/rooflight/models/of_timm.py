"""timm's models by name."""

from typing import Any

from rooflight.core.errors import BackendError
from rooflight.models.recipe import Recipe


def library() -> Any:
    """timm itself. raises BackendError where it is not installed"""
    try:
        import timm
    except ImportError:
        raise BackendError(
            "models of timm need the package timm. Try: pip install 'rooflight[timm]' (from a checkout: '.[timm]')."
        ) from None
    return timm


def names() -> list[str]:
    return list(library().list_models())


def recipe(name: str, input_shape: tuple[int, ...] | None = None, classes: int | None = None) -> Recipe:
    """The model at the size that its default configuration names, or at another where its kind allows one.

    name  an architecture, or with the tag of its weights: "vit_base_patch16_224.augreg_in21k" has the classes of these
    """
    timm = library()
    published = timm.models.get_pretrained_cfg(name)
    usual = tuple(published.input_size) if published else (3, 224, 224)
    shape = input_shape or usual
    settings: dict[str, Any] = {"num_classes": classes} if classes else {}
    if shape[0] != 3:
        settings["in_chans"] = shape[0]
    if published and published.fixed_input_size and shape[1:] != usual[1:]:
        settings["img_size"] = shape[1:]
    return Recipe(name=f"timm:{name}", build=lambda: timm.create_model(name, **settings), input_shape=shape)
