"""Models as tables of measurements call them → the library and the name that build them, by rules for every source."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from benchmarks.accuracy.cases import NotPredictedError
from rooflight.core.errors import BackendError, ConfigError

# Models that no library builds, by what their names are like without case and marks. The first match counts.
ZOO: tuple[tuple[str, str], ...] = (
    (r"mlperfbert|bertlarge.*mlm|bertlarge.*pretrain", "zoo:bert-large-mlm"),
    (r"bertlarge.*(qa|squad)|^bert99", "zoo:bert-large-qa"),
    (r"bertbase.*(qa|squad)", "zoo:bert-base-qa"),
    (r"gnmt", "zoo:gnmt"),
    (r"transformerxl.*large", "zoo:transformer-xl-large"),
    (r"transformerxl", "zoo:transformer-xl-base"),
    (r"transformer(big)?wmt|transformerbig|^transformer$", "zoo:transformer-big"),
    (r"3dunet|unet3d|nnunet", "zoo:nnunet"),
    (r"^ncf|neumf|neuralcollab", "zoo:ncf"),
    (r"tacotron", "zoo:tacotron2"),
    (r"waveglow", "zoo:waveglow"),
    (r"^ssd(300|resnet|$|.*(resnet|300|fp|amp))|mlperfssd", "zoo:ssd300"),
    (r"maskrcnn", "zoo:rcnn-mask"),
    (r"keypointrcnn", "zoo:rcnn-keypoint"),
    (r"fasterrcnn", "zoo:rcnn-box"),
    (r"mlperf(resnet|rn50)|^resnet50v15", "torchvision:resnet50"),
)
TOKENS = frozenset(
    f"zoo:{name}"
    for name in (
        "bert-large-mlm", "bert-large-qa", "bert-base-qa", "gnmt", "transformer-xl-base", "transformer-xl-large",
        "transformer-big",
    )
)  # fmt: skip

# Endings that name weights, data or a format, not another architecture.
ENDINGS = re.compile(
    r"[-_.](hf|instruct|chat|base|it|thinking|fp8|fp4|nvfp4|bf16|awq|gptq|int4|int8|gguf|dynamic|kv|pt|\d{4}|"
    r"v\d+(\.\d+)?|dynamo|pretrained|imagenet\w*)$",
    re.IGNORECASE,
)
OF_VISION_LANGUAGE = {
    "qwen3vl4b": "Qwen/Qwen3-4B",
    "qwen3vl8b": "Qwen/Qwen3-8B",
    "qwen3vl32b": "Qwen/Qwen3-32B",
    "qwen3vl30ba3b": "Qwen/Qwen3-30B-A3B",
    "qwen3vl235ba22b": "Qwen/Qwen3-235B-A22B",
    "qwen3omni30ba3b": "Qwen/Qwen3-30B-A3B",
    "qwen3coder30ba3b": "Qwen/Qwen3-30B-A3B",
}
OTHER = {  # spelt otherwise than their library does
    "inceptionv3": "torchvision:inception_v3",
    "mobilenetv1": "timm:mobilenetv1_100",
    "vitb16": "torchvision:vit_b_16",
    "vitb32": "torchvision:vit_b_32",
    "vitl16": "torchvision:vit_l_16",
    "swint": "torchvision:swin_t",
    "swinb": "torchvision:swin_b",
    "resnext50": "torchvision:resnext50_32x4d",
    "resnext101": "torchvision:resnext101_32x8d",
    "shufflenet": "torchvision:shufflenet_v2_x1_0",
    "squeezenet": "torchvision:squeezenet1_0",
    "bert": "hf:google-bert/bert-base-uncased",
    "bertbase": "hf:google-bert/bert-base-uncased",
    "bertlarge": "hf:google-bert/bert-large-uncased",
    "gpt2small": "hf:openai-community/gpt2",
}


def squeezed(name: str) -> str:
    """Small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def library_name(model: str) -> str:
    """The name with its library, "timm:resnet50", "hf:Qwen/Qwen3-8B", "zoo:gnmt".

    raises  NotPredictedError if nothing builds the model
    """
    if re.match(r"(timm|torchvision|hf|zoo|gpt):", model):
        return model
    tail = model.split("/")[-1]
    for pattern, name in ZOO:
        if re.search(pattern, squeezed(tail)):
            return name
    for spelt in _shortened(tail):
        short = squeezed(spelt)
        if short in OTHER:
            return OTHER[short]
        for known in (_language, _timm, _torchvision):
            if (found := known().get(spelt.lower()) or known().get(short)) is not None:
                return found
    if (found := _timm().get(tail.partition(".")[0])) is not None:  # with the tag of its weights
        return found
    raise NotPredictedError(f"no builder for {model}")


def language_name(model: str) -> str:
    """The text model's name in transformers, of a model that may also look at pictures, or listen.

    raises  NotPredictedError if its configuration is not known
    """
    for spelt in _shortened(model.split("/")[-1]):
        short = squeezed(spelt)
        name = OF_VISION_LANGUAGE.get(short) or _language().get(short)
        if name is not None:
            return name.removeprefix("hf:")
    raise NotPredictedError(f"no builder for {model}")


def _shortened(name: str) -> list[str]:
    """The name, and what is left as one ending after the other is taken off."""
    found = [name.replace(" ", "-")]
    while (shorter := ENDINGS.sub("", found[-1])) != found[-1]:
        found.append(shorter)
    return found


@cache
def _language() -> Mapping[str, str]:
    from benchmarks.accuracy.zoo.language import STAND_INS
    from rooflight.models.of_transformers import names

    known = {squeezed(written): f"hf:{name}" for written, name in names().items()}
    return known | {squeezed(name.split("/")[-1]): f"hf:{name}" for name in STAND_INS}


@cache
def _timm() -> Mapping[str, str]:
    from rooflight.models.of_timm import names

    return _by_spelling("timm", names)


@cache
def _torchvision() -> Mapping[str, str]:
    from rooflight.models.of_torchvision import names

    return _by_spelling("torchvision", names)


def _by_spelling(library: str, names: Callable[[], Iterable[str]]) -> Mapping[str, str]:
    """As the library spells them, and squeezed; empty if it is not installed."""
    try:
        known = list(names())
    except (BackendError, ConfigError, ImportError):
        return {}
    return {squeezed(name): f"{library}:{name}" for name in known} | {name: f"{library}:{name}" for name in known}
