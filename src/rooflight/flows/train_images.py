"""Models that take images: their data in memory where it fits, else on disk and decoded by workers, as batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.training import TrainConfig
from rooflight.core.units import show_bytes
from rooflight.flows.family import Family, Found, Reads, TrainData
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.core.runs import Preprocessing
    from rooflight.data.images import ImageSet
    from rooflight.data.loader.batch import Transform
    from rooflight.data.loader.files import FolderSet
    from rooflight.data.loader.loader import Loader
    from rooflight.data.loader.on_device import DecodeOn
    from rooflight.data.loader.sources import ImageFiles

Pixels = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation, of pixels in 0..1
EVALUATION_BATCH = 500
MEMORY_SHARE = 0.25  # of the machine's memory: decoding holds a set twice, and the device's copy may be in it too
MOST_WORKERS = 16
SHIFT = "shift"  # --augmentation of the classic CNN: no pipeline, but one gather


def find_data(
    config: TrainConfig, shape: tuple[int, ...], console: Console
) -> tuple[ImageSet | FolderSet, tuple[str, ...]]:
    """A run's images, fitted to `shape` (C, H, W): decoded in memory, or listed on disk; and why, for a folder.

    raises  ConfigError for --storage disk with what is no folder; else as `load_images` and `open_folder`
    """
    from rooflight.data.images import load_images
    from rooflight.data.loader.files import open_folder
    from rooflight.data.sources import NAMED, expand

    channels, height, width = shape
    path = expand(config.data)
    folder = config.data not in (*NAMED, "bundled") and path.is_dir()
    if config.storage == "disk" and not folder:
        raise ConfigError(f"--storage disk: --data {config.data} is no folder of images. Try --storage auto.")
    why: tuple[str, ...] = ()
    if folder and config.storage != "memory":
        images = open_folder(path, channels=channels, height=height, width=width, notify=console.say)
        fits, reason = _fits(images.decoded_bytes)
        if config.storage == "disk" or not fits:
            return images, (f"images stay on disk: {'as asked' if config.storage == 'disk' else reason}",)
        why = (f"images decoded in memory: {reason}",)
    loaded = load_images(
        config.data,
        channels=channels,
        height=height,
        width=width,
        data_dir=config.data_dir,
        notify=console.say,
        max_bad=config.max_bad,
    )
    return loaded, why


def find(config: TrainConfig, console: Console) -> Found:
    """The images of a run of one of our own models."""
    from rooflight.models.registry import find_model

    shape = find_model(config.model).input_shape
    if config.shift >= min(shape[1:]):
        raise ConfigError(f"--shift {config.shift}: {config.model} takes images of {shape[1]}×{shape[2]}; try 1 or 2.")
    if config.augmentation != SHIFT:
        from rooflight.data.augmentation import read_augmentation

        read_augmentation(config.augmentation, flip=False)  # a misspelt one is refused before any image is read
    images, reasons = find_data(config, shape, console)
    return Found(data=images, info=images.info, reasons=reasons)


def prepare(found: Found, config: TrainConfig, setting: Setting) -> TrainData:
    """Batches for training and evaluation, and the normalisation that both use."""
    return image_batches(found.data, config, setting)


def image_batches(
    images: ImageSet | FolderSet, config: TrainConfig, setting: Setting, pixels: Pixels | None = None
) -> TrainData:
    """As `prepare`. pixels: mean and standard deviation of each channel; None: measured on the training images"""
    from rooflight.data.images import ImageSet

    if isinstance(images, ImageSet):
        return _from_memory(images, config, setting, pixels)
    return _from_disk(images, config, setting, pixels)


def stated(channels: int, height: int, width: int, pixels: Pixels) -> Preprocessing:
    """The normalisation by a model's own numbers, one of which may stand for all channels."""
    from rooflight.core.runs import Preprocessing
    from rooflight.data.preprocess import with_pipeline

    mean, std = (numbers * channels if len(numbers) == 1 else numbers for numbers in pixels)
    return with_pipeline(Preprocessing(channels=channels, height=height, width=width, mean=mean, std=std))


def build(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
    """One of our own models; its weights are drawn, whether they are kept or not."""
    from rooflight.models.registry import find_model

    entry, pixels = find_model(config.model), reads.preprocessing
    if pixels is None or (pixels.channels, pixels.height, pixels.width) != entry.input_shape:
        raise ConfigError(f"the preprocessing does not give what {config.model} takes. Try another run folder.")
    return entry.build(len(reads.classes))


IMAGES = Family(find=find, prepare=prepare, build=build)


def first_test_images(images: ImageSet | FolderSet, count: int) -> Tensor:
    """Up to `count` test images as uint8 (n, C, H, W)."""
    from rooflight.data.images import ImageSet
    from rooflight.data.loader.loader import Loader

    if isinstance(images, ImageSet):
        return images.test_images[:count]
    loader = Loader(images.test, batch=count, seed=0, shuffle=False, replace_bad=False)
    return next(iter(loader.epoch(0)))[0].contiguous()


def _fits(decoded_bytes: int) -> tuple[bool, str]:
    from rooflight.hardware.detect import detect

    limit = int(detect().cpu.memory_bytes * MEMORY_SHARE)
    size = f"they take {show_bytes(decoded_bytes)} decoded"
    return decoded_bytes <= limit, f"{size}, a quarter of the memory is {show_bytes(limit)}"


def _from_memory(images: ImageSet, config: TrainConfig, setting: Setting, pixels: Pixels | None) -> TrainData:
    from rooflight.data.augmentation import TIMED_IMAGES, as_transform, find_augmentation
    from rooflight.data.batches import Batches
    from rooflight.data.images import measure_preprocessing
    from rooflight.data.preprocess import preprocess

    channels, height, width = images.train_images.shape[1:]
    preprocessing = stated(channels, height, width, pixels) if pixels else measure_preprocessing(images.train_images)
    trained, held_out = split(len(images.train_images), config)
    train_images, train_labels = images.train_images, images.train_labels
    if len(held_out):
        train_images, train_labels = train_images[trained], train_labels[trained]
    transform: Transform | None = None
    why: tuple[str, ...] = ()
    if config.augmentation != SHIFT:
        asked = find_augmentation(config.augmentation, preprocessing, flip=setting.flip)
        examples = train_images[:TIMED_IMAGES].to(setting.device)
        transform, reason = as_transform(asked, preprocessing, examples, epochs=_augmented_epochs(config))
        why = (reason,)
    batches = Batches(
        train_images,
        train_labels,
        preprocessing,
        batch=config.batch,
        shift=config.shift,
        flip=setting.flip,
        augmented_epochs=_augmented_epochs(config),
        seed=config.seed,
        device=setting.device,
        rank=setting.rank,
        world_size=setting.replicas,
        transform=transform,
    )

    def evaluated(pixels: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
        pairs = zip(pixels.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True)
        return [(preprocess(some.to(setting.device), preprocessing), of.to(setting.device)) for some, of in pairs]

    return TrainData(
        info=images.info,
        reads=Reads(classes=images.info.classes, preprocessing=preprocessing),
        batches=batches,
        test_batches=evaluated(images.test_images, images.test_labels),
        validation=evaluated(images.train_images[held_out], images.train_labels[held_out]) if len(held_out) else None,
        labels=lambda: train_labels,
        bad=lambda: images.info.bad,
        reasons=why,
    )


def split(count: int, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Numbers of the samples that are trained on, and of those held out for --patience: drawn from the seed."""
    import torch

    from rooflight.data.loader.order import shuffled

    kept = count - round(config.validation * count)
    if not kept:
        raise ConfigError(
            f"--validation {config.validation:g} of {count:,} samples leaves none to train on. Try --validation 0.1."
        )
    order = torch.from_numpy(shuffled(count, seed=config.seed, epoch=0, lane=3))
    return order[:kept].sort().values, order[kept:].sort().values


def _from_disk(images: FolderSet, config: TrainConfig, setting: Setting, pixels: Pixels | None) -> TrainData:
    from rooflight.data.loader.augment import Evaluate
    from rooflight.data.loader.files import measure_folder, with_bad
    from rooflight.data.loader.loader import Loader
    from rooflight.data.loader.placement import choose_placement
    from rooflight.data.loader.rates import describe_rates, measure_rates

    workers = min(setting.machine.cpu.logical_cores, MOST_WORKERS) if config.workers is None else config.workers
    height, width = images.train.fit or (0, 0)
    preprocessing = (
        stated(images.train.channels, height, width, pixels)
        if pixels
        else measure_folder(images, workers=workers, max_bad=config.max_bad)
    )
    trained, held_out = split(len(images.train), config)
    validated = images.train.part(held_out)
    images = replace(images, train=images.train.part(trained)) if len(held_out) else images
    source, transform, why = _transform_from_disk(images, preprocessing, config, setting)
    # Ranks decode their own shares, unless the last batch gives them different ones: then each decodes all.
    alike = len(images.train) % config.batch % setting.replicas == 0

    def loader(decode: DecodeOn) -> Loader:
        return Loader(
            source,
            batch=config.batch,
            seed=config.seed,
            transform=transform,
            workers=workers,
            device=setting.device,
            max_bad=config.max_bad,
            decode=decode,
            rank=setting.rank if alike else 0,
            world_size=setting.replicas if alike else 1,
        )

    placement = choose_placement(config.decode, loader, setting.device)
    train = loader(placement.decode)

    def evaluated(files: ImageFiles) -> Loader:
        return Loader(
            files,
            batch=EVALUATION_BATCH,
            seed=config.seed,
            transform=Evaluate(preprocessing),
            workers=workers,
            device=setting.device,
            shuffle=False,
            max_bad=config.max_bad,
            replace_bad=False,
        )

    test = evaluated(images.test)
    return TrainData(
        info=images.info,
        reads=Reads(classes=images.info.classes, preprocessing=preprocessing),
        batches=train,
        test_batches=_EveryTime(test),
        validation=_EveryTime(evaluated(validated)) if len(held_out) else None,
        labels=lambda: images.train.labels,
        bad=lambda: with_bad(images.info, train, test).bad,
        reasons=(*why, placement.reason, *describe_rates(measure_rates(train))),
    )


def _transform_from_disk(
    images: FolderSet, preprocessing: Preprocessing, config: TrainConfig, setting: Setting
) -> tuple[ImageFiles, Transform, tuple[str, ...]]:
    """Training's files, fitted as they are decoded unless the pipeline scales; what they go through; and why."""
    from rooflight.data.augmentation import TIMED_IMAGES, as_transform, find_augmentation
    from rooflight.data.loader.files import first_images
    from rooflight.data.loader.shift_mirror import ShiftMirror

    epochs = _augmented_epochs(config)
    if config.augmentation == SHIFT:
        shift = ShiftMirror(preprocessing=preprocessing, shift=config.shift, flip=setting.flip, augmented_epochs=epochs)
        return images.train, shift, ()
    asked = find_augmentation(config.augmentation, preprocessing, flip=setting.flip)
    source = replace(images.train, fit=None) if asked.fits else images.train
    examples = [image.to(setting.device) for image in first_images(source, TIMED_IMAGES)]
    transform, why = as_transform(asked, preprocessing, examples, epochs=epochs)
    return source, transform, (why,)


def _augmented_epochs(config: TrainConfig) -> int:
    return round(config.augment * config.epochs)


class _EveryTime:
    """A loader's epoch from its beginning, each time that it is gone through."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.epoch(0)
