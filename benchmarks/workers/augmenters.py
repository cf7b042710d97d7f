"""One way to augment a batch, as its own documentation has it, timed whenever a line arrives on stdin.

    python augmenters.py VARIANT THREADS SECONDS

Each line asks for one turn: batches for about SECONDS, and one line of JSON with the images/s. The peers' environment
runs it. Every variant makes float32 (64, 3, 224, 224), normalised, of 64 images of 256×256 in uint8: a random resized
crop, a mirror, a rotation by up to 15 degrees, brightness, contrast, saturation and hue, drawn for each image unless
the variant says otherwise.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

N, SOURCE, SIZE = 64, 256, 224
JITTER = (0.4, 0.4, 0.4, 0.1)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Step = Callable[[], object]  # makes one batch, or several: see TURN_BATCHES


def images() -> np.ndarray:
    """(N, SOURCE, SOURCE, 3) uint8: smooth colours with some noise, the same for all."""
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 255, (N, 8, 8, 3)).repeat(SOURCE // 8, 1).repeat(SOURCE // 8, 2)
    return np.clip(coarse + random.normal(0, 10, coarse.shape), 0, 255).astype(np.uint8)


def rooflight(threads: int, *, reuse: bool, channels_first: bool = True) -> Step:
    import torch

    from rooflight.data.engines.choose import named_engine
    from rooflight.data.engines.engine import new_result
    from rooflight.data.pipeline.operations import (
        ColorJitter,
        Normalize,
        RandomHorizontalFlip,
        RandomResizedCrop,
        RandomRotation,
    )
    from rooflight.data.pipeline.pipeline import Pipeline

    torch.set_num_threads(threads)
    pipeline = Pipeline(
        [
            RandomResizedCrop(SIZE),
            RandomHorizontalFlip(),
            RandomRotation(15),
            ColorJitter(*JITTER),
            Normalize(MEAN, STD),
        ]
    )
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2)
    batch = batch.contiguous() if channels_first else batch
    engine, epoch = named_engine("cpu"), 0
    kept = new_result(pipeline.compile(pipeline.draw(range(N)), (SOURCE, SOURCE)), batch) if reuse else None

    def step() -> object:
        nonlocal epoch
        epoch += 1
        program = pipeline.compile(pipeline.draw(range(N), epoch=epoch), (SOURCE, SOURCE))
        return engine.run(program, batch, kept)

    return step


def torchvision_v2(threads: int, *, per_image: bool) -> Step:
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(threads)
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(SIZE, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomRotation(15),
            v2.ColorJitter(*JITTER),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2).contiguous()
    if per_image:
        return lambda: torch.stack([transform(image) for image in batch])
    return lambda: transform(batch)


def kornia(threads: int) -> Step:
    import kornia.augmentation as K
    import torch

    torch.set_num_threads(threads)
    transform = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE)),
        K.RandomHorizontalFlip(),
        K.RandomRotation(15.0),
        K.ColorJitter(*JITTER),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    batch = torch.from_numpy(images()).permute(0, 3, 1, 2).contiguous()
    return lambda: transform(batch.float().div_(255))


def _albumentations_transform() -> Callable[[np.ndarray], object]:
    import albumentations as A
    import cv2
    from albumentations.pytorch import ToTensorV2

    cv2.setNumThreads(0)
    brightness, contrast, saturation, hue = JITTER
    transform = A.Compose(
        [
            A.RandomResizedCrop(size=(SIZE, SIZE)),
            A.HorizontalFlip(p=0.5),
            A.Rotate(limit=15, interpolation=cv2.INTER_NEAREST, border_mode=cv2.BORDER_CONSTANT, p=1.0),
            A.ColorJitter(
                brightness=(1 - brightness, 1 + brightness),
                contrast=(1 - contrast, 1 + contrast),
                saturation=(1 - saturation, 1 + saturation),
                hue=(-hue, hue),
                p=1.0,
            ),
            A.Normalize(MEAN, STD),
            ToTensorV2(),
        ]
    )
    return lambda image: transform(image=image)["image"]


class Augmented:
    """A data set of torch's DataLoader, WORKER_BATCHES batches long."""

    def __init__(self) -> None:
        self.images, self.transform = images(), None

    def __len__(self) -> int:
        return N * WORKER_BATCHES

    def __getitem__(self, index: int) -> object:
        self.transform = self.transform or _albumentations_transform()
        return self.transform(self.images[index % N])


WORKER_BATCHES = 4


def albumentations(threads: int, *, workers: int) -> Step:
    import torch

    torch.set_num_threads(threads)
    if workers:
        loader = torch.utils.data.DataLoader(Augmented(), batch_size=N, num_workers=workers, persistent_workers=True)
        return lambda: list(loader)
    transform, batch = _albumentations_transform(), images()
    return lambda: torch.stack([transform(image) for image in batch])


def dali(threads: int) -> Step:
    from nvidia.dali import fn, pipeline_def, types

    batch = list(images())
    brightness, contrast, saturation, hue = JITTER

    @pipeline_def(batch_size=N, num_threads=threads, device_id=None)
    def define() -> object:
        image = fn.external_source(source=lambda: batch, layout="HWC")
        image = fn.random_resized_crop(image, size=(SIZE, SIZE), antialias=True)
        image = fn.rotate(
            image,
            angle=fn.random.uniform(range=(-15.0, 15.0)),
            interp_type=types.INTERP_NN,
            keep_size=True,
            fill_value=0,
        )
        image = fn.color_twist(
            image,
            brightness=fn.random.uniform(range=(1 - brightness, 1 + brightness)),
            contrast=fn.random.uniform(range=(1 - contrast, 1 + contrast)),
            saturation=fn.random.uniform(range=(1 - saturation, 1 + saturation)),
            hue=fn.random.uniform(range=(-360 * hue, 360 * hue)),
        )
        return fn.crop_mirror_normalize(
            image,
            mirror=fn.random.coin_flip(),
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * value for value in MEAN],
            std=[255 * value for value in STD],
        )

    pipeline = define()
    pipeline.build()
    return lambda: pipeline.run()[0].as_tensor()


def keras_layers(threads: int) -> Step:
    """Keras has no random resized crop: its random crop is cheaper. Its result is (N, H, W, C)."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras import Sequential, layers

    brightness, contrast, saturation, hue = JITTER
    model = Sequential(
        [
            layers.RandomCrop(SIZE, SIZE),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(15 / 360, fill_mode="constant", interpolation="nearest"),
            layers.RandomColorJitter(
                value_range=(0, 255),
                brightness_factor=brightness,
                contrast_factor=contrast,
                saturation_factor=(0.5 - saturation / 2, 0.5 + saturation / 2),
                hue_factor=hue,
            ),
            layers.Normalization(mean=[255 * value for value in MEAN], variance=[(255 * value) ** 2 for value in STD]),
        ]
    )
    batch = tf.constant(images())
    compiled = tf.function(lambda x: model(tf.cast(x, tf.float32), training=True))
    return lambda: compiled(batch).numpy()


VARIANTS: dict[str, tuple[Callable[[int], Step], int, tuple[str, ...]]] = {  # how to make it, batches a step, packages
    "rooflight": (lambda threads: rooflight(threads, reuse=False), 1, ("torch", "numba")),
    "rooflight-reused": (lambda threads: rooflight(threads, reuse=True), 1, ("torch", "numba")),
    "rooflight-hwc": (lambda threads: rooflight(threads, reuse=True, channels_first=False), 1, ("torch", "numba")),
    "torchvision-image": (lambda threads: torchvision_v2(threads, per_image=True), 1, ("torch", "torchvision")),
    "torchvision-batch": (lambda threads: torchvision_v2(threads, per_image=False), 1, ("torch", "torchvision")),
    "kornia": (kornia, 1, ("torch", "kornia")),
    "albumentations": (lambda threads: albumentations(threads, workers=0), 1, ("albumentations", "torch")),
    "albumentations-workers": (
        lambda threads: albumentations(threads, workers=threads),
        WORKER_BATCHES,
        ("albumentations", "torch"),
    ),
    "dali": (dali, 1, ("nvidia-dali-cuda130",)),
    "keras": (keras_layers, 1, ("keras", "tensorflow-cpu")),
}


def main() -> None:
    """Warm up, say so, then a turn for each line."""
    name, threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    make, batches, packages = VARIANTS[name]
    step = make(threads)
    step()
    print(json.dumps({"versions": {package: version(package) for package in packages}}), flush=True)
    for _ in sys.stdin:
        step()  # what went cold while the others had their turn
        done, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            step()
            done += batches
        print(json.dumps({"images_per_second": N * done / (time.perf_counter() - begin)}), flush=True)


if __name__ == "__main__":
    main()
