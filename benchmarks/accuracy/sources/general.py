"""A source that is not known, or has nothing of its own: what its rows say, by rules that hold for most."""

from dataclasses import replace

from benchmarks.accuracy.cases import Case, Recipe
from benchmarks.accuracy.changes import Change, narrowed, quantized
from benchmarks.accuracy.names import TOKENS, library_name
from benchmarks.accuracy.reading import (
    Precision,
    batch,
    image_recipe,
    image_shape,
    precision,
    setting,
    token_recipe,
)
from benchmarks.accuracy.rows import Row

SHAPES = {  # of the models that no library builds, where a row does not say
    "zoo:nnunet": (4, 128, 128, 128),
    "zoo:ssd300": (3, 300, 300),
    "zoo:ncf": (2,),
    "zoo:tacotron2": (566,),
    "zoo:waveglow": (1, 8000),
}


def of_any(row: Row) -> Case:
    """One GPU or DistributedDataParallel, SGD for images and AdamW for text, an input that is on the device.

    raises  NotPredictedError with the reason
    """
    from benchmarks.accuracy.sources import products, serving
    from benchmarks.accuracy.sources.detection import SHAPE, variant_name

    if products.is_product(row.model):
        return products.matmul(row)
    if serving.is_diffusion(row.model):
        return serving.diffusion(row)
    if serving.is_generation(row):
        return serving.generation(row)
    name = library_name(row.model)
    if name.startswith("zoo:rcnn"):
        return library_case(row, f"rcnn:{variant_name(row.model)}", shape=image_shape(row) or SHAPE)
    if name in TOKENS or (name.startswith("hf:") and image_shape(row) is None):
        return text_case(row, name)
    return library_case(row, name)


def library_case(row: Row, name: str, *, shape: tuple[int, ...] | None = None) -> Case:
    """A model that takes images, stepped as timm's benchmark does."""
    recipe = image_recipe(row, name, optimizer="sgd-momentum", shape=shape or _usual_shape(row, name))
    return _case(row, replace(recipe, fused_attention=recipe.fused_attention or row.version is None), 1.0)


def text_case(row: Row, name: str) -> Case:
    """A model that takes tokens, of a length that the row says; a metric of tokens counts each."""
    recipe = token_recipe(row, name, optimizer="adamw", length=512)
    counted = float(recipe.input_shape[0]) if "token" in row.metric else 1.0
    return _case(row, recipe, counted)


def _case(row: Row, recipe: Recipe, counted: float) -> Case:
    kept = precision(row, usual="fp32")
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=setting(row, tf32="all" if kept.tf32 else "convolutions"),
        parallel="processes" if row.gpus > 1 else None,
        per_sample=counted,
        change=of_precision(kept, text=recipe.model.startswith("hf:")),
    )


def of_precision(kept: Precision, *, text: bool, unpacked: bool = False) -> Change | None:
    """What a precision that no dtype of a trace can say changes in it: weights alone, or activations too."""
    if kept.bits is None:
        return None
    if kept.product is not None and not text:
        product = kept.product
        return lambda table: narrowed(table, product=product)
    bits, multiplied = kept.bits, kept.product
    return lambda table: quantized(table, bits=bits, product=multiplied, unpacked=unpacked)


def _usual_shape(row: Row, name: str) -> tuple[int, ...] | None:
    """What the row says, else what the model takes."""
    if (said := image_shape(row)) is not None:
        return said
    if name in SHAPES:
        return SHAPES[name]
    if name.startswith(("torchvision:", "timm:")):
        from rooflight.core.errors import RooflightError
        from rooflight.models.resolve import resolve

        try:
            return resolve(name).input_shape
        except RooflightError:
            return None
    return None
