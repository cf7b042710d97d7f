"""Models by the names that recipes use, as functions that build them, and the input that they take."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.accuracy.cases import NotPredictedError, Recipe
from rooflight.core.types import Workload
from rooflight.trace.inputs import images, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a trace needs of a model."""

    build: Callable[[], nn.Module]
    make_input: Callable[[Workload], Tensor] = images


def built(recipe: Recipe) -> Built:
    """
    raises  NotPredictedError if no library knows the name
    """
    library, _, name = recipe.model.partition(":")
    if library == "timm":
        return Built(build=_timm(name, recipe))
    if library == "torchvision":
        return Built(build=_torchvision(name))
    if library == "gpt":
        return _gpt(name, recipe)
    if library == "zoo" and name in ZOO:
        return ZOO[name](recipe)
    raise NotPredictedError(f"no library for {recipe.model}")


def _timm(name: str, recipe: Recipe) -> Callable[[], nn.Module]:
    import timm
    from timm.layers.config import set_fused_attn

    if not timm.is_model(name):
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


def _torchvision(name: str) -> Callable[[], nn.Module]:
    import torchvision

    known: Any = torchvision.models
    if name not in known.list_models():
        raise NotPredictedError("torchvision has no model of this name")
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return partial(known.get_model, name, weights=None, **options)


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


def _rcnn(recipe: Recipe, **options: Any) -> Built:
    from benchmarks.accuracy.zoo.rcnn import Rcnn

    return Built(build=partial(Rcnn, **options))


def _unet(recipe: Recipe) -> Built:
    from benchmarks.accuracy.zoo.unet import Unet

    return Built(build=partial(Unet, dims=len(recipe.input_shape) - 1))


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
    "mask-rcnn": partial(_rcnn, masks=True),
    "faster-rcnn": partial(_rcnn, masks=False),
    "mask-rcnn-101": partial(_rcnn, masks=True, layers=101),
    "faster-rcnn-101": partial(_rcnn, masks=False, layers=101),
    "mask-rcnn-x101": partial(_rcnn, masks=True, layers=101, groups=32),
    "faster-rcnn-x101": partial(_rcnn, masks=False, layers=101, groups=32),
    "keypoint-rcnn": partial(_rcnn, masks=False, keypoints=True),
    "keypoint-rcnn-101": partial(_rcnn, masks=False, keypoints=True, layers=101),
    "keypoint-rcnn-x101": partial(_rcnn, masks=False, keypoints=True, layers=101, groups=32),
}
