"""The data of transfer learning: images of any size, or texts, as a base was pretrained to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.runs import BadSample, DataInfo, Preprocessing
from rooflight.core.training import TrainConfig
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.data.labelled_text import TextSet
    from rooflight.data.loader.batch import Transform
    from rooflight.data.loader.loader import Loader
    from rooflight.data.loader.sources import Source
    from rooflight.models.transfer.base import Base, Pixels
    from rooflight.train.loop import EpochBatches

CROP_AREA = (0.5, 1.0)  # of an augmented view: ImageNet's crops of 0.08 and more lose the object of a small set
FROZEN_BATCH = {"cpu": 32, "cuda": 256}  # samples through the base at once; its results depend on it in the last bit
MOST_WORKERS = 16

Pairs = Iterable[tuple[Any, "Tensor"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What both kinds of data offer.

    view   number, batch → (inputs, labels) of every training sample in order, augmented as view `number`; 0: as it is
    test   batch → the same of every test sample
    tuned  the training samples as mini-batches for the whole model
    """

    view: Callable[[int, int], Pairs]
    test: Callable[[int], Pairs]
    tuned: EpochBatches
    bad: Callable[[], tuple[BadSample, ...]]
    labels: Tensor  # int64, of the training samples
    test_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSources:
    """Labelled images, each in its own size."""

    train: Source
    test: Source
    info: DataInfo


def find_images(config: TrainConfig, size: int, console: Console) -> ImageSources:
    """A folder's images on disk; a named or packed set's in memory, grey turned to RGB.

    raises  ConfigError, DataError as `open_folder` and `load_images`
    """
    from rooflight.data.images import load_images
    from rooflight.data.loader.files import open_folder
    from rooflight.data.loader.sources import grey_as_rgb
    from rooflight.data.sources import NAMED, expand

    path = expand(config.data)
    if config.data not in (*NAMED, "bundled") and path.is_dir():
        found = open_folder(path, channels=3, height=size, width=size, notify=console.say)
        return ImageSources(train=replace(found.train, fit=None), test=replace(found.test, fit=None), info=found.info)
    if config.storage == "disk":
        raise ConfigError(f"--storage disk: --data {config.data} is no folder of images. Try --storage auto.")
    loaded = load_images(config.data, channels=1, height=None, width=None, data_dir=config.data_dir, notify=console.say)

    return ImageSources(
        train=grey_as_rgb(loaded.train_images, loaded.train_labels),
        test=grey_as_rgb(loaded.test_images, loaded.test_labels),
        info=loaded.info,
    )


def preprocessing_of(pixels: Pixels, size: int | None) -> Preprocessing:
    """How the base's pretraining evaluated: the shorter side resized, the middle cropped, normalised."""
    from rooflight.data.pipeline.operations import CenterCrop, Normalize, Resize
    from rooflight.data.pipeline.pipeline import Pipeline
    from rooflight.data.preprocess import with_pipeline

    at = pixels.at(size or pixels.crop)
    plain = Preprocessing(channels=3, height=at.crop, width=at.crop, mean=at.mean, std=at.std)
    return with_pipeline(plain, Pipeline([Resize(at.resize), CenterCrop(at.crop), Normalize(at.mean, at.std)]))


def image_samples(
    sources: ImageSources, preprocessing: Preprocessing, config: TrainConfig, setting: Setting
) -> Samples:
    """Images decoded by workers, and prepared on the device where there is a GPU."""
    from rooflight.data.engines.torch_engine import TorchEngine
    from rooflight.data.loader.augment import Augment, Evaluate
    from rooflight.data.loader.files import with_bad
    from rooflight.data.loader.loader import Loader
    from rooflight.data.pipeline.operations import Normalize, RandomHorizontalFlip, RandomResizedCrop
    from rooflight.data.pipeline.pipeline import Pipeline

    workers = min(setting.machine.cpu.logical_cores, MOST_WORKERS) if config.workers is None else config.workers
    flip = [RandomHorizontalFlip()] if setting.flip else []
    crop = RandomResizedCrop((preprocessing.height, preprocessing.width), scale=CROP_AREA)
    augmented = Augment(Pipeline([crop, *flip, Normalize(preprocessing.mean, preprocessing.std)]), TorchEngine())
    plain = Evaluate(preprocessing)

    def loader(source: Source, transform: Transform, batch: int, **more: Any) -> Loader:
        return Loader(
            source,
            batch=batch,
            seed=config.seed,
            transform=transform,
            workers=workers,
            device=setting.device,
            max_bad=config.max_bad,
            **more,
        )

    met: list[Loader] = []

    def view(number: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        met.append(loader(sources.train, augmented if number else plain, batch, shuffle=False))
        return met[-1].epoch(number)

    test = loader(sources.test, plain, FROZEN_BATCH[setting.device.type], shuffle=False, replace_bad=False)
    return Samples(
        view=view,
        test=lambda batch: test.epoch(0),
        tuned=loader(sources.train, augmented, config.batch),
        bad=lambda: with_bad(sources.info, met[0], test).bad if met else (),
        labels=sources.train.labels,
        test_count=len(sources.test),
    )


def first_test_inputs(config: TrainConfig, preprocessing: Preprocessing, count: int, console: Console) -> Tensor:
    """Up to `count` test images of a run as its model takes them."""
    from rooflight.data.loader.augment import Evaluate
    from rooflight.data.loader.loader import Loader

    test = find_images(config, preprocessing.height, console).test
    loader = Loader(test, batch=count, seed=0, transform=Evaluate(preprocessing), shuffle=False, replace_bad=False)
    return next(iter(loader.epoch(0)))[0]


def text_samples(texts: TextSet, base: Base, config: TrainConfig, setting: Setting) -> Samples:
    """Texts tokenised once, in memory. raises ConfigError for more than one view."""
    from rooflight.data.tokens import TokenBatches
    from rooflight.models.transfer.texts import tokenise, tokenizer_of

    if config.views > 1:
        raise ConfigError(f"--views {config.views}: texts are not augmented. Try --views 1.")
    tokenizer = tokenizer_of(base.name.partition(":")[2])

    def batches(some: list[str], labels: Tensor) -> TokenBatches:
        return TokenBatches(
            tokenise(tokenizer, some), labels, batch=config.batch, seed=config.seed, device=setting.device
        )

    train, test = batches(texts.train, texts.train_labels), batches(texts.test, texts.test_labels)
    return Samples(
        view=lambda number, batch: train.in_order(batch),
        test=test.in_order,
        tuned=train,
        bad=tuple,
        labels=texts.train_labels,
        test_count=len(texts.test),
    )
