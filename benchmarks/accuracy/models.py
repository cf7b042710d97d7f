"""Models by the names that recipes use, as functions that build them, and the input that they take."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import nn

from benchmarks.accuracy.cases import NotPredictedError, Recipe
from benchmarks.accuracy.zoo.language import STAND_INS
from rooflight.core.errors import RooflightError
from rooflight.core.types import Generation, Workload
from rooflight.models.of_transformers import of_configuration
from rooflight.models.resolve import resolve
from rooflight.trace.inputs import class_indices, images, tokens


def first_loss(found: Any, target: Any) -> Any:
    """Cross entropy of a model's first output: some give a second head's beside it in training."""
    return F.cross_entropy(found[0] if isinstance(found, tuple | list) else found, target)


def first_targets(found: Any) -> Any:
    """Class indices for a model's first output."""
    return class_indices(found[0] if isinstance(found, tuple | list) else found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a trace needs of a model."""

    build: Callable[[], nn.Module]
    make_input: Callable[[Workload], Any] = images
    loss: Callable[[Any, Any], Any] = first_loss
    make_target: Callable[[Any], Any] = first_targets
    generation: Generation | None = None


def built(recipe: Recipe) -> Built:
    """
    raises  NotPredictedError if no library knows the name
    """
    library, _, name = recipe.model.partition(":")
    if library == "timm":
        return Built(build=_timm(name, recipe))
    if library == "torchvision":
        return _torchvision(name, recipe)
    if library == "gpt":
        return _gpt(name, recipe)
    if library == "hf":
        return _resolved(f"hf:{name}", recipe)
    if library in ("prefill", "decode"):
        return _transformers(name, recipe, "decode" if library == "decode" else "prefill")
    if library == "diffusion":
        return _diffusion(name)
    if library == "zoo" and name in ZOO:
        return ZOO[name](recipe)
    if library == "matmul":
        return Built(build=partial(nn.Linear, recipe.input_shape[0], int(name), bias=False))
    if library == "rcnn":
        return _rcnn(name)
    raise NotPredictedError(f"no library for {recipe.model}")


def _timm(name: str, recipe: Recipe) -> Callable[[], nn.Module]:
    import timm
    from timm.layers.config import set_fused_attn

    if not timm.is_model(name.partition(".")[0]):
        raise NotPredictedError("timm has no model of this name")
    # Weights that timm no longer lists keep an old name of the same architecture.
    known = name.removesuffix("_sam")

    def build() -> nn.Module:
        set_fused_attn(recipe.fused_attention)
        size = recipe.input_shape[-1]
        model: nn.Module = timm.create_model(known)
        wanted = getattr(model, "default_cfg", {}).get("input_size", (3, size, size))[-1]
        if wanted != size and hasattr(model, "patch_embed"):  # position embeddings are made for one size
            model = timm.create_model(known, img_size=size)
        return model

    return build


def _torchvision(name: str, recipe: Recipe) -> Built:
    return replace(_resolved(f"torchvision:{name}", recipe), loss=first_loss, make_target=first_targets)


def _resolved(name: str, recipe: Recipe) -> Built:
    """A model by the package's own door, or by a configuration that stands in for it."""
    stand_in = STAND_INS.get(name.removeprefix("hf:"))
    try:
        if stand_in is not None:
            found = of_configuration(name, stand_in, recipe.input_shape)
        else:
            found = resolve(name, recipe.input_shape)
    except RooflightError as error:
        raise NotPredictedError(str(error)) from None
    return Built(build=found.build, make_input=found.make_input, loss=found.loss, make_target=found.make_target)


def _transformers(name: str, recipe: Recipe, generation: Generation) -> Built:
    return replace(_resolved(f"hf:{name}", recipe), generation=generation)


def _diffusion(name: str) -> Built:
    from benchmarks.accuracy.zoo.diffusion import DENOISERS, Denoiser, latents

    if name not in DENOISERS:
        raise NotPredictedError(f"no dimensions for {name}")
    return Built(build=partial(Denoiser, DENOISERS[name]), make_input=partial(latents, DENOISERS[name]))


def _gpt(name: str, recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.gpt import SHAPES, Decoder

    if name not in SHAPES:
        raise NotPredictedError(f"no dimensions for {name}")
    return Built(build=partial(Decoder, SHAPES[name], fused=recipe.fused_attention), make_input=tokens)


def _bert(recipe: Recipe, *, large: bool, head: int) -> Built:
    from benchmarks.accuracy.zoo.bert import Bert

    layers, width, heads = (24, 1024, 16) if large else (12, 768, 12)
    build = partial(Bert, layers=layers, width=width, heads=heads, head=head, fused=recipe.fused_attention)
    return Built(build=build, make_input=tokens)


def _gnmt(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.gnmt import Gnmt

    return Built(build=Gnmt, make_input=tokens)


def _transformer_xl(recipe: Recipe, *, large: bool, memory: int) -> Built:
    from benchmarks.accuracy.zoo.transformer_xl import TransformerXl

    layers, width, heads, hidden = (18, 1024, 16, 4096) if large else (16, 512, 8, 2048)
    build = partial(TransformerXl, layers=layers, width=width, heads=heads, hidden=hidden, memory=memory)
    return Built(build=build, make_input=tokens)


def _transformer(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.translation import TransformerBig

    return Built(build=TransformerBig, make_input=tokens)


def _rcnn(name: str) -> Built:
    from benchmarks.accuracy.zoo.rcnn import Rcnn, variant

    return Built(build=partial(Rcnn, variant(name)))


def _unet(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.unet import Unet

    return Built(build=partial(Unet, dims=len(recipe.input_shape) - 1))


def _ssd(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.ssd import Ssd300

    return Built(build=Ssd300)


def _ncf(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.ncf import NeuMf

    return Built(build=NeuMf, make_input=tokens)


def _tacotron(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.tacotron import Tacotron2

    return Built(build=Tacotron2, make_input=tokens)


def _waveglow(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.waveglow import WaveGlow

    return Built(build=WaveGlow)


ZOO: dict[str, Callable[[Recipe], Built]] = {
    "bert-large-qa": partial(_bert, large=True, head=2),
    "bert-base-qa": partial(_bert, large=False, head=2),
    "bert-large-mlm": partial(_bert, large=True, head=30528),
    "bert-large-encoder": partial(_bert, large=True, head=0),
    "gnmt": _gnmt,
    "transformer-xl-base": partial(_transformer_xl, large=False, memory=192),
    "transformer-xl-base-640": partial(_transformer_xl, large=False, memory=640),
    "transformer-xl-large": partial(_transformer_xl, large=True, memory=384),
    "transformer-big": _transformer,
    "nnunet": _unet,
    "ssd300": _ssd,
    "ncf": _ncf,
    "tacotron2": _tacotron,
    "waveglow": _waveglow,
}
