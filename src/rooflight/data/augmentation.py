"""`--augmentation`: names or a JSON file, as the pipeline that training images go through."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rooflight.core.errors import ConfigError, nearest
from rooflight.core.runs import Preprocessing
from rooflight.data.engines.choose import choose, engines_folder, named_engine
from rooflight.data.loader.augment import Augment, UntilEpoch
from rooflight.data.pipeline import operations as ops
from rooflight.data.pipeline.pipeline import Images, Pipeline, stack
from rooflight.data.preprocess import evaluation_pipeline

CROPS: dict[str, Callable[[tuple[int, int]], object]] = {  # names that bring an image to its size
    "imagenet": ops.RandomResizedCrop,
}
POLICIES: dict[str, Callable[[], object]] = {
    "randaugment": ops.RandAugment,
    "trivialaugment": ops.TrivialAugmentWide,
    "jitter": lambda: ops.ColorJitter(0.4, 0.4, 0.4, 0.1),
}
RESULT = (ops.ToDtype, ops.Normalize)  # what the run measures and decides
MIXES = (ops.MixUp, ops.CutMix)
TIMED_IMAGES = 64  # that engines are compared on


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What training images go through."""

    pipeline: Pipeline  # ends in Normalize
    fits: bool  # it scales images of any size itself; False: they must be fitted to the model's size first


def read_augmentation(spec: str, *, flip: bool) -> Callable[[tuple[int, int]], Pipeline]:
    """The operations of --augmentation for a size (height, width): names joined by commas, or a pipeline's JSON file.

    flip    of names: half of the images are mirrored; a file says so itself
    raises  ConfigError for names and files that are none, and for what a run decides itself
    """
    if spec.endswith(".json"):
        path = Path(spec).expanduser()
        if not path.is_file():
            raise ConfigError(f"--augmentation {spec}: no such file.")
        pipeline = Pipeline.from_json(path.read_text())
        for op in pipeline.operations:
            if isinstance(op, RESULT):
                raise ConfigError(
                    f"--augmentation {spec} has {type(op).__name__}; the run measures its own normalisation and keeps "
                    "it with the weights. Try without."
                )
            if isinstance(op, MIXES):
                raise ConfigError(
                    f"--augmentation {spec} has {type(op).__name__}, which gives each image shares of two labels; "
                    "training takes one label each. Try without."
                )
        return lambda size: pipeline
    names = spec.split(",")
    for name in names:
        if name not in CROPS and name not in POLICIES:
            known = ["shift", *CROPS, *POLICIES]
            raise ConfigError(
                f"--augmentation {name!r} is none of {', '.join(known)}, nor a .json file.{nearest(name, known)}"
            )
    mirror = [ops.RandomHorizontalFlip()] if flip else []

    def for_size(size: tuple[int, int]) -> Pipeline:
        crops = [CROPS[name](size) for name in names if name in CROPS]
        return Pipeline([*crops, *mirror, *(POLICIES[name]() for name in names if name in POLICIES)])

    return for_size


def find_augmentation(spec: str, preprocessing: Preprocessing, *, flip: bool) -> Augmentation:
    """The pipeline for a model's input, its normalisation included.

    raises  ConfigError as `read_augmentation`, and for a pipeline that gives another shape than the model takes
    """
    size = preprocessing.height, preprocessing.width
    asked = read_augmentation(spec, flip=flip)(size)
    normalise = ops.Normalize(preprocessing.mean, preprocessing.std)
    pipeline = Pipeline([*asked.operations, normalise], channels_last=asked.channels_last)
    scales = any(isinstance(op, ops.Resize | ops.RandomResizedCrop) for op in pipeline.operations)
    other = _result(pipeline, (size[0] + 29, size[1] + 13), preprocessing.channels)
    found = _result(pipeline, size, preprocessing.channels)
    if found != (preprocessing.channels, *size):
        raise ConfigError(
            f"--augmentation {spec} gives {found}, the model takes {(preprocessing.channels, *size)}. "
            f"Try a RandomResizedCrop of {list(size)} in it."
        )
    return Augmentation(pipeline=pipeline, fits=scales and other == found)


def as_transform(
    augmentation: Augmentation, preprocessing: Preprocessing, examples: Images, *, epochs: int
) -> tuple[UntilEpoch, str]:
    """The pipeline as a transform on its fastest engine, and why that one.

    examples  images as they will come, on their device; engines are timed on them
    epochs    after that many, images are as evaluation sees them
    """
    pipeline = augmentation.pipeline
    batch, sizes = stack(examples[:TIMED_IMAGES])
    program = pipeline.compile(pipeline.draw(range(len(batch))), sizes, batch.shape[1])
    choice = choose(program.to(batch.device), batch, kept=engines_folder())
    engine = named_engine(choice.engine)
    names = ", ".join(type(op).__name__ for op in pipeline.operations)
    why = f"augmentation {names} ({pipeline.sha256[:12]}…) by the {choice.engine} engine: {choice.reason}"
    plain = Augment(evaluation_pipeline(preprocessing), engine)
    return UntilEpoch(Augment(pipeline, engine), plain, epochs), why


def _result(pipeline: Pipeline, size: tuple[int, int], channels: int) -> tuple[int, int, int]:
    """(channels, height, width) of what comes out of images of a size."""
    program = pipeline.compile(pipeline.draw([0]), size, channels)
    return (program.channels, *program.size)
