"""torchvision's models by name."""

from rooflight.core.errors import ConfigError
from rooflight.models.recipe import Recipe

# Their constructors draw initial values, slowly, and warn that they will not, unless told whether to.
_PLAIN = {"googlenet": {"init_weights": False}, "inception_v3": {"init_weights": False}}


def names() -> list[str]:
    """Classification, segmentation and video models: those that map one batch to scores."""
    from torchvision import models

    rooms = (models, models.segmentation, models.video)
    return [name for room in rooms for name in models.list_models(module=room)]


def recipe(name: str, input_shape: tuple[int, ...] | None = None, classes: int | None = None) -> Recipe:
    """The model with 1,000 classes (or its data set's), at the size that its published weights were tested at."""
    from torchvision import models

    settings = {"num_classes": classes} if classes else {}

    return Recipe(
        name=f"torchvision:{name}",
        build=lambda: models.get_model(
            name, weights=None, **_without_backbone(name), **_PLAIN.get(name, {}), **settings
        ),
        input_shape=input_shape or _input_shape(name),
    )


def _input_shape(name: str) -> tuple[int, ...]:
    from torchvision import models

    preset = next(iter(models.get_model_weights(name))).transforms()
    size = getattr(preset, "crop_size", None) or getattr(preset, "resize_size", 224)
    height, width = (list(size) * 2)[:2] if isinstance(size, list | tuple) else (size, size)
    frames = (16,) if name in models.list_models(module=models.video) else ()
    return (3, *frames, height, width)


def _without_backbone(name: str) -> dict[str, None]:
    """Segmentation models would download their backbone's weights."""
    from torchvision import models

    return {"weights_backbone": None} if name in models.list_models(module=models.segmentation) else {}


def check(name: str) -> None:
    """Raises ConfigError with the way out for what torchvision has and a trace cannot follow."""
    from torchvision import models

    if name in models.list_models() and name not in names():
        raise ConfigError(
            f"torchvision:{name} works on lists of pictures and boxes, on pairs or on quantised weights, which a trace "
            "cannot follow. Try its backbone."
        )
