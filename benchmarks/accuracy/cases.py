"""From a row to what is to be predicted: model, workload, setting. One function per source, for each measures a step its own way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from benchmarks.accuracy.rows import Row
from rooflight.estimate.setting import Setting


class NotPredicted(Exception):
    """A row that gets no prediction; the message is the reason that is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be traced: rows that differ in batch, GPU or software alone share it.

    dtype       of the products
    weights     dtype of the parameters; autocast is on where it differs from dtype
    input_shape of one sample; (T,) for tokens
    optimizer   None: forward, or forward and backward alone

    The memory format is not part of it: it changes how fast operators are and what a library copies, not which they are.
    """

    model: str
    task: str
    dtype: str
    weights: str
    input_shape: tuple[int, ...]
    optimizer: str | None = None
    fused_attention: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row, ready to be predicted. batch is per GPU; unit samples are what `value` counts, per sample of the batch."""

    row: Row
    recipe: Recipe
    batch: int
    setting: Setting
    parallel: str | None = None  # "threads": nn.DataParallel; "processes": DistributedDataParallel
    per_sample: float = 1.0  # what the metric counts in one sample: tokens of a sequence
    sums_gpus: bool = True  # a rate is of all GPUs together


PRECISIONS: Mapping[str, tuple[str, str]] = {  # dtype of products, of weights
    "fp32": ("float32", "float32"),
    "tf32": ("float32", "float32"),
    "amp-fp16": ("float16", "float32"),
    "fp16": ("float16", "float16"),
    "bf16": ("bfloat16", "bfloat16"),
}


def case(row: Row) -> Case:
    """What a row asks for.

    raises  NotPredicted with the reason
    """
    if row.source not in SOURCES:
        return _library(row)
    return SOURCES[row.source](row)


def _timm(row: Row) -> Case:
    """timm's benchmark.py: autocast, SGD with momentum, TF32 allowed, input on the device."""
    return Case(
        row=row,
        recipe=_recipe(row, f"timm:{row.model}", optimizer="sgd-momentum"),
        batch=_batch(row),
        setting=_setting(row, tf32="all"),
    )


def _torchvision_threads(row: Row) -> Case:
    """ryujaehun's and lamikr's script: DataParallel, the batch comes from the host, no optimizer step."""
    recipe = _recipe(row, f"torchvision:{row.model}", optimizer=None)
    item = 2 if row.precision == "fp16" else 4
    size = item * _elements(recipe.input_shape) * _batch(row)
    # NGC's torch of the A100's rows multiplies in TF32 wherever it can, as torch did by default up to 1.11.
    tf32 = "all" if "A100" in row.gpu else "convolutions"
    return Case(
        row=row,
        recipe=recipe,
        batch=_batch(row),
        setting=replace(_setting(row, tf32=tf32), host_input_bytes=size),
        parallel="threads" if row.gpus > 1 else None,
    )


def _u39kun(row: Row) -> Case:
    """Forward, or forward and backward, of torchvision's models on torch 0.3."""
    return Case(
        row=row,
        recipe=_recipe(row, f"torchvision:{row.model}", optimizer=None),
        batch=_batch(row),
        setting=_setting(row, tf32="none"),
    )


def _library(row: Row) -> Case:
    """A source that is not known: a step as timm's, of a model that a library knows by this name."""
    return _timm(row)


SOURCES: Mapping[str, Callable[[Row], Case]] = {
    "huggingface/pytorch-image-models": _timm,
    "ryujaehun/pytorch-gpu-benchmark": _torchvision_threads,
    "lamikr/pytorch-gpu-benchmark": _torchvision_threads,
    "u39kun/deep-learning-benchmark": _u39kun,
}


def _recipe(row: Row, model: str, *, optimizer: str | None) -> Recipe:
    if row.precision not in PRECISIONS:
        raise NotPredicted(f"precision {row.precision or 'not given'} is not traced")
    dtype, weights = PRECISIONS[row.precision]
    return Recipe(
        model=model,
        task=row.task,
        dtype=dtype,
        weights=weights,
        input_shape=_image_shape(row),
        optimizer=optimizer if row.task == "train" else None,
        fused_attention=_version(row) >= (2, 0),
    )


def _setting(row: Row, *, tf32: str) -> Setting:
    if tf32 not in ("none", "convolutions", "all"):
        raise ValueError(tf32)
    return Setting(
        channels_last=row.memory_format == "nhwc",
        tf32=tf32,  # type: ignore[arg-type]
        compiled=row.compiled,
        torch_version=_version(row) if row.version else None,
    )


def _version(row: Row) -> tuple[int, int]:
    """(major, minor) of torch, as far as the row says; of NVIDIA's containers by their date."""
    text = row.version or ""
    if container := re.search(r"NGC (\d\d)\.(\d\d)", text):
        return _ngc(int(container[1]), int(container[2]))
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (1, 13)


def _ngc(year: int, month: int) -> tuple[int, int]:
    """torch in NVIDIA's container of a month, from its release notes."""
    released = ((23, 2, (2, 0)), (22, 6, (1, 13)), (21, 11, (1, 11)), (21, 2, (1, 8)), (20, 8, (1, 7)), (20, 1, (1, 4)))
    return next((torch for y, m, torch in released if (year, month) >= (y, m)), (1, 3))


def _batch(row: Row) -> int:
    if row.batch is None or row.batch < 1:
        raise NotPredicted("no batch is given")
    return round(row.batch)


def _image_shape(row: Row) -> tuple[int, ...]:
    found = re.fullmatch(r"(\d+)x(\d+)x(\d+)", row.input_shape or "3x224x224")
    if not found:
        raise NotPredicted(f"input shape {row.input_shape} is not one size")
    return tuple(int(size) for size in found.groups())


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
