"""A run's data: in memory where it fits, else on disk and decoded by workers; either way as batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.runs import BadSample, DataInfo, Preprocessing, TrainConfig
from rooflight.core.units import show_bytes
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.data.images import ImageSet
    from rooflight.data.loader.files import FolderSet
    from rooflight.data.loader.loader import Loader
    from rooflight.train.loop import EpochBatches

EVALUATION_BATCH = 500
MEMORY_SHARE = 0.25  # of the machine's memory: decoding holds a set twice, and the device's copy may be in it too
MOST_WORKERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainData:
    """What training takes."""

    info: DataInfo
    preprocessing: Preprocessing
    batches: EpochBatches
    test_batches: Iterable[tuple[Tensor, Tensor]]
    bad: Callable[[], tuple[BadSample, ...]]  # the broken files met so far
    reasons: tuple[str, ...] = ()


def find_data(
    config: TrainConfig, shape: tuple[int, ...], console: Console
) -> tuple[ImageSet | FolderSet, tuple[str, ...]]:
    """The run's images, fitted to `shape` (C, H, W): decoded in memory, or listed on disk; and why, for a folder.

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


def prepare_data(images: ImageSet | FolderSet, config: TrainConfig, setting: Setting) -> TrainData:
    """Batches for training and evaluation, and the normalisation that both use."""
    from rooflight.data.images import ImageSet

    if isinstance(images, ImageSet):
        return _from_memory(images, config, setting)
    return _from_disk(images, config, setting)


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


def _from_memory(images: ImageSet, config: TrainConfig, setting: Setting) -> TrainData:
    from rooflight.data.batches import Batches
    from rooflight.data.images import measure_preprocessing
    from rooflight.data.preprocess import preprocess

    preprocessing = measure_preprocessing(images.train_images)
    batches = Batches(
        images.train_images,
        images.train_labels,
        preprocessing,
        batch=config.batch,
        shift=config.shift,
        flip=setting.flip,
        augmented_epochs=_augmented_epochs(config),
        seed=config.seed,
        device=setting.device,
    )
    device = setting.device
    pairs = zip(images.test_images.split(EVALUATION_BATCH), images.test_labels.split(EVALUATION_BATCH), strict=True)
    test_batches = [(preprocess(pixels.to(device), preprocessing), labels.to(device)) for pixels, labels in pairs]
    return TrainData(
        info=images.info,
        preprocessing=preprocessing,
        batches=batches,
        test_batches=test_batches,
        bad=lambda: images.info.bad,
    )


def _from_disk(images: FolderSet, config: TrainConfig, setting: Setting) -> TrainData:
    from rooflight.data.loader.augment import Evaluate
    from rooflight.data.loader.files import measure_folder, with_bad
    from rooflight.data.loader.loader import Loader
    from rooflight.data.loader.rates import describe_rates, measure_rates
    from rooflight.data.loader.shift_mirror import ShiftMirror

    workers = min(setting.machine.cpu.logical_cores, MOST_WORKERS)
    preprocessing = measure_folder(images, workers=workers, max_bad=config.max_bad)
    augmentation = ShiftMirror(
        preprocessing=preprocessing, shift=config.shift, flip=setting.flip, augmented_epochs=_augmented_epochs(config)
    )
    train = Loader(
        images.train,
        batch=config.batch,
        seed=config.seed,
        transform=augmentation,
        workers=workers,
        device=setting.device,
        max_bad=config.max_bad,
    )
    test = Loader(
        images.test,
        batch=EVALUATION_BATCH,
        seed=config.seed,
        transform=Evaluate(preprocessing),
        workers=workers,
        device=setting.device,
        shuffle=False,
        max_bad=config.max_bad,
        replace_bad=False,
    )
    return TrainData(
        info=images.info,
        preprocessing=preprocessing,
        batches=train,
        test_batches=_EveryTime(test),
        bad=lambda: with_bad(images.info, train, test).bad,
        reasons=describe_rates(measure_rates(train)),
    )


def _augmented_epochs(config: TrainConfig) -> int:
    return round(config.augment * config.epochs)


class _EveryTime:
    """A loader's epoch from its beginning, each time that it is gone through."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.loader.epoch(0)
