"""NVIDIA's DeepLearningExamples, and lambdal's runs of them: totals over the GPUs, one process each."""

import re
from collections.abc import Mapping
from dataclasses import replace

from benchmarks.accuracy.cases import Case, NotPredictedError, Recipe
from benchmarks.accuracy.names import TOKENS, library_name, squeezed
from benchmarks.accuracy.reading import batch, image_recipe, precision, setting, token_recipe
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.sources.detection import SHAPE, variant_name

# What these scripts mean by names that libraries have otherwise.
NAMES: Mapping[str, str] = {
    "resnet50": "torchvision:resnet50",
    "resnext10132x4d": "timm:resnext101_32x4d",
    "seresnext10132x4d": "timm:seresnext101_32x4d",
    "efficientnetb0": "timm:efficientnet_b0",
    "efficientnetb4": "timm:efficientnet_b4",
    "efficientnetwideseb0": "timm:efficientnet_b0",
    "efficientnetwideseb4": "timm:efficientnet_b4",
    "bertlargeuncased": "zoo:bert-large-mlm",
}

# Tokens of a sequence where rows do not say: WMT sentences have some 25 on either side (GNMT counts both, the big
# Transformer 32 of each), Transformer-XL sees 192 or 384 at a time.
LENGTHS: Mapping[str, int] = {
    "zoo:gnmt": 50,
    "zoo:transformer-xl-base": 192,
    "zoo:transformer-xl-large": 384,
    "zoo:transformer-big": 64,
}
TARGET = 32  # tokens of one target: the big Transformer's batch is counted in them


def examples(row: Row) -> Case:
    """The step of a script of these, by its model."""
    model = NAMES.get(squeezed(row.model)) or library_name(row.model)
    if model.startswith("zoo:rcnn"):
        return _detection(row)
    found = _text(row, model) if model in TOKENS or model.startswith("hf:") else _images(row, model)
    return replace(found, parallel="processes" if row.gpus > 1 else None)


def _text(row: Row, model: str) -> Case:
    if model == "zoo:transformer-big" and row.task == "infer" and row.metric == "tokens_per_s":
        raise NotPredictedError("text is generated with a beam")
    recipe = token_recipe(row, model, optimizer="adamw", length=LENGTHS.get(model, 384))
    recipe = replace(recipe, fused_attention=False)
    if "squad" in row.notes.lower() or "fine-tuning" in row.notes.lower():
        recipe = replace(recipe, model=recipe.model.replace("-mlm", "-qa"))
    if model == "zoo:transformer-xl-base" and "memory_length 640" in row.notes:
        recipe = replace(recipe, model="zoo:transformer-xl-base-640")
    size, tokens = batch(row), float(recipe.input_shape[0])
    if model == "zoo:transformer-big":
        size, tokens = max(1, size // TARGET), float(TARGET)
    return _case(row, replace(recipe), size, tokens if row.metric == "tokens_per_s" else 1.0)


def _images(row: Row, model: str) -> Case:
    size, counted = batch(row), 1.0
    shape: tuple[int, ...] | None = None
    if model == "zoo:nnunet":  # the large batches are of slices, the small ones of volumes
        shape = (4, 192, 160) if size >= 32 else (4, 128, 128, 128)
    elif model == "zoo:ssd300":
        shape = (3, 300, 300)
    elif model == "zoo:ncf":
        shape = (2,)
    elif model == "zoo:tacotron2":  # frames of a clip; the script counts mel frames
        shape, counted = (566,), 566.0
    elif model == "zoo:waveglow":  # the script counts samples of sound
        shape, counted = (1, 8000), 8000.0
    optimizer = "adamw" if model in ("zoo:ncf", "zoo:tacotron2", "zoo:waveglow") else "sgd-momentum"
    recipe = image_recipe(row, model, optimizer=optimizer, shape=shape)
    return _case(row, recipe, size, counted)


def _detection(row: Row) -> Case:
    recipe = image_recipe(row, f"rcnn:{variant_name(row.model)}", optimizer="sgd-momentum", shape=SHAPE)
    found = _case(row, recipe, batch(row), 1.0)
    return replace(found, parallel="processes" if row.gpus > 1 else None)


def _case(row: Row, recipe: Recipe, size: int, counted: float) -> Case:
    kept = precision(row, usual="fp32")
    return Case(
        row=row,
        recipe=recipe,
        batch=size,
        setting=replace(
            setting(row, tf32="none" if kept.dtype == "float32" and not kept.tf32 else "all"), channels_last=_last(row)
        ),
        per_sample=counted,
    )


def _last(row: Row) -> bool:
    """NVIDIA's classification scripts go channels last with mixed precision; lambdal's older ones do not."""
    if row.memory_format:
        return setting(row, tf32="all").channels_last
    mixed = bool(re.match(r"amp", row.precision or ""))
    return row.source == "NVIDIA/DeepLearningExamples" and mixed and row.model == "resnet50"
