"""Image classifiers: timm's own benchmark, and three collections of torchvision's models."""

from dataclasses import replace

from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.reading import batch, elements, image_recipe, precision, setting
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.sources.general import library_case


def timm_benchmark(row: Row) -> Case:
    """timm's benchmark.py: autocast, SGD with momentum, TF32 allowed, input on the device."""
    recipe = image_recipe(row, f"timm:{row.model}", optimizer="sgd-momentum")
    return Case(row=row, recipe=recipe, batch=batch(row), setting=setting(row, tf32="all"))


def data_parallel(row: Row) -> Case:
    """ryujaehun's and lamikr's script: DataParallel, the batch comes from the host, no optimizer step."""
    recipe = image_recipe(row, f"torchvision:{row.model}", optimizer=None)
    item = 2 if precision(row).weights == "float16" else 4
    size = item * elements(recipe.input_shape) * batch(row)
    # NGC's torch of the A100's rows multiplies in TF32 wherever it can, as torch did by default up to 1.11.
    found = setting(row, tf32="all" if "A100" in row.gpu else "convolutions")
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=replace(found, host_input_bytes=size),
        parallel="threads" if row.gpus > 1 else None,
    )


def u39kun(row: Row) -> Case:
    """Forward, or forward and backward, of torchvision's models on torch 0.3."""
    recipe = image_recipe(row, f"torchvision:{row.model}", optimizer=None)
    return Case(row=row, recipe=recipe, batch=batch(row), setting=setting(row, tf32="none"))


def swin(row: Row) -> Case:
    """main.py's throughput(): forward in float32 on whatever torch was current in 2021, batch 64."""
    if row.model == "ResMLP-B24":
        raise NotPredictedError("timm's large ResMLP has patches of 8, the published one of 16")
    name = {"ResMLP-S24": "resmlp_24_224", "ResMLP-S12": "resmlp_12_224"}.get(row.model)
    found = library_case(row, f"timm:{name or row.model.lower().replace('-', '_')}")
    return replace(found, recipe=replace(found.recipe, fused_attention=False))
