"""From a row to what is to be predicted: model, workload, setting. One function per source: each has its own step."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.accuracy.rows import Row
from rooflight.estimate.setting import Setting


class NotPredictedError(Exception):
    """A row that gets no prediction; the message is the reason that is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be traced: rows that differ in batch, GPU or software alone share it.

    dtype       of the products
    weights     dtype of the parameters; autocast is on where it differs from dtype
    input_shape of one sample; (T,) for tokens
    optimizer   None: forward, or forward and backward alone

    The memory format is not part of it: it changes how fast operators are and what a library copies, not which.
    """

    model: str
    task: str
    dtype: str
    weights: str
    input_shape: tuple[int, ...]
    optimizer: str | None = None
    fused_attention: bool = True
    checkpointing: bool = False
    trainable: Literal["all", "head", "lora"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row, ready to be predicted. batch is per GPU."""

    row: Row
    recipe: Recipe
    batch: int
    setting: Setting
    parallel: Literal["threads", "processes", "sharded"] | None = None  # DataParallel, DistributedDataParallel, sharded
    per_sample: float = 1.0  # what the metric counts in one sample: tokens of a sequence
    repeats: int = 1  # micro-batches in what the row calls a step


PRECISIONS: Mapping[str, tuple[str, str]] = {  # dtype of products, of weights
    "fp32": ("float32", "float32"),
    "tf32": ("float32", "float32"),
    "amp-fp16": ("float16", "float32"),
    "fp16": ("float16", "float16"),
    "bf16": ("bfloat16", "bfloat16"),
}


def case(row: Row) -> Case:
    """What a row asks for, of the sources that are known and of those whose models timm knows.

    raises  NotPredictedError with the reason
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


def _examples(row: Row) -> Case:
    """NVIDIA's DeepLearningExamples, and lambdal's runs of them: totals over the GPUs, one process each."""
    return replace(_named(row, EXAMPLES, optimizer="adamw"), parallel="processes" if row.gpus > 1 else None)


def _neusight(row: Row) -> Case:
    """Hugging Face models in float32 without TF32, attention not fused, forward or forward and backward."""
    one = _named(row, NEUSIGHT, optimizer=None)
    recipe = replace(one.recipe, fused_attention=False)
    return replace(one, recipe=recipe, setting=replace(one.setting, tf32="none"))


def _swin(row: Row) -> Case:
    """main.py's throughput(): forward in float32 on whatever torch was current in 2021, batch 64."""
    if row.model == "ResMLP-B24":
        raise NotPredictedError("timm's large ResMLP has patches of 8, the published one of 16")
    name = {"ResMLP-S24": "resmlp_24_224", "ResMLP-S12": "resmlp_12_224"}.get(row.model)
    return _library(row, name or row.model.lower().replace("-", "_"))


def _detectron2(row: Row) -> Case:
    """Steps of SGD on two images per GPU, and one image at inference with all that follows the network."""
    where = row.model.lower()
    if any(
        part in where
        for part in ("cascade", "dconv", "panoptic", "lvis", "_gn", "syncbn", "retinanet", "rpn", "_c4", "_dc5")
    ):
        raise NotPredictedError("variants of R-CNN without a builder")
    kind = next((kind for kind in ("mask", "keypoint", "fast") if f"{kind}" in where), None)
    if kind is None:
        raise NotPredictedError("detectron2 models without a builder")
    base = {"mask": "mask-rcnn", "keypoint": "keypoint-rcnn", "fast": "faster-rcnn"}[kind]
    depth = "-x101" if "_x_101" in where else "-101" if "_r_101" in where else ""
    recipe = replace(
        _recipe(row, f"zoo:{base}{depth}", optimizer="sgd-momentum"), input_shape=(3, 800, 1216), dtype="float32"
    )
    return Case(
        row=row,
        recipe=recipe,
        batch=_batch(row),
        setting=_setting(row, tf32="none"),
        parallel="processes" if row.gpus > 1 else None,
    )


def _foundry(row: Row) -> Case:
    """llm-foundry: FSDP on Composer, bf16, flash attention; totals."""
    recipe = _tokens_recipe(row, f"gpt:{row.model}", optimizer="adamw")
    pure = "mp=PURE" in row.notes
    recipe = replace(recipe, weights="bfloat16" if pure else "float32", dtype="bfloat16")
    return Case(
        row=row,
        recipe=recipe,
        batch=_batch(row),
        setting=replace(_setting(row, tf32="all"), recomputes="act_ckpt=True" in row.notes),
        parallel="sharded",
        per_sample=_sequence(row),
    )


def _litgpt(row: Row) -> Case:
    """litgpt's finetuning scripts on one GPU: LoRA in bf16-true, a micro-batch of one sequence."""
    if "quant=None" not in row.notes or "bf16-true" not in row.notes:
        raise NotPredictedError("quantised weights are not traced")
    if row.metric != "peak_memory_gib":
        raise NotPredictedError("texts of many lengths, of which the longest alone is published")
    names = {"phi-1.5 1.3 B": "phi-1.5", "Llama 2 7 B": "llama-2-7b", "Llama 2 13 B": "llama-2-13b"}
    if row.model not in names or "LoRA" not in row.notes:
        raise NotPredictedError("finetuning other than LoRA, or a model without dimensions")
    recipe = replace(_tokens_recipe(row, f"gpt:{names[row.model]}", optimizer="adamw"), trainable="lora")
    return Case(row=row, recipe=recipe, batch=_batch(row), setting=_setting(row, tf32="all"))


def _qwen(row: Row) -> Case:
    """Qwen's finetune.py: a step is 8 micro-batches of one sequence; memory is that of all GPUs together."""
    if row.model not in ("Qwen-7B LoRA", "Qwen-7B Full-parameter"):
        raise NotPredictedError("quantised, multi-node or generating runs of Qwen")
    recipe = _tokens_recipe(row, "gpt:qwen-7b", optimizer="adamw")
    recipe = replace(recipe, trainable="lora" if "LoRA" in row.model else "all")
    return Case(
        row=row,
        recipe=recipe,
        batch=_batch(row),
        setting=replace(_setting(row, tf32="all"), recomputes=True),
        parallel="sharded" if row.gpus > 1 else None,
        repeats=8,
    )


def _torchtune(row: Row) -> Case:
    """torchtune's single-device recipes, packed sequences, compiled; activations are checkpointed by default."""
    if row.gpus > 1 or "8B" not in row.model:
        raise NotPredictedError("offloaded or sharded finetuning")
    recipe = _tokens_recipe(row, "gpt:llama-3.1-8b", optimizer="sgd")
    recipe = replace(recipe, trainable="lora" if "LoRA" in row.model else "all")
    setting = replace(_setting(row, tf32="all"), recomputes=True)
    return Case(row=row, recipe=recipe, batch=_batch(row), setting=setting, per_sample=_sequence(row))


def _library(row: Row, name: str | None = None) -> Case:
    """A source or a model that is not known: a step as timm's, of a model that a library knows by this name."""
    try:
        import timm
    except ImportError:
        raise NotPredictedError("timm is not installed") from None

    if not timm.is_model(name or row.model):
        raise NotPredictedError(f"no builder for {row.model}")
    return Case(
        row=row,
        recipe=_recipe(row, f"timm:{name or row.model}", optimizer="sgd-momentum"),
        batch=_batch(row),
        setting=_setting(row, tf32="all" if row.precision == "tf32" else "convolutions"),
        parallel="processes" if row.gpus > 1 else None,
    )


SOURCES: Mapping[str, Callable[[Row], Case]] = {
    "huggingface/pytorch-image-models": _timm,
    "ryujaehun/pytorch-gpu-benchmark": _torchvision_threads,
    "lamikr/pytorch-gpu-benchmark": _torchvision_threads,
    "u39kun/deep-learning-benchmark": _u39kun,
    "NVIDIA/DeepLearningExamples": _examples,
    "lambdal/deeplearning-benchmark": _examples,
    "sitar-lab/NeuSight": _neusight,
    "microsoft/Swin-Transformer": _swin,
    "facebookresearch/detectron2": _detectron2,
    "mosaicml/llm-foundry": _foundry,
    "Lightning-AI/litgpt": _litgpt,
    "QwenLM/Qwen": _qwen,
    "pytorch/torchtune": _torchtune,
}

# By how the rows call them: the model, and the tokens of a sequence where the rows do not say. WMT sentences have some
# 25 tokens on either side (GNMT counts both), Transformer-XL sees 192 at a time.
EXAMPLES: Mapping[str, tuple[str, int | None]] = {
    "resnet50": ("torchvision:resnet50", None),
    "resnext101-32x4d": ("timm:resnext101_32x4d", None),
    "se-resnext101-32x4d": ("timm:seresnext101_32x4d", None),
    "efficientnet-b0": ("timm:efficientnet_b0", None),
    "efficientnet-b4": ("timm:efficientnet_b4", None),
    "efficientnet-widese-b0": ("timm:efficientnet_b0", None),
    "efficientnet-widese-b4": ("timm:efficientnet_b4", None),
    "bert-large-uncased": ("zoo:bert-large-mlm", 384),
    "bert-large-uncased (SQuAD QA)": ("zoo:bert-large-qa", 384),
    "bert-base-uncased (SQuAD QA)": ("zoo:bert-base-qa", 384),
    "gnmt-v2 (LSTM)": ("zoo:gnmt", 50),
    "transformer-xl-base": ("zoo:transformer-xl-base", 192),
    "transformer-xl-large": ("zoo:transformer-xl-large", 384),
    "transformer-big wmt": ("zoo:transformer-big", 64),
    "nnunet": ("zoo:nnunet", None),
    "maskrcnn_resnet50_fpn": ("zoo:mask-rcnn", None),
}
NEUSIGHT: Mapping[str, tuple[str, int | None]] = {
    "bert-large-uncased": ("zoo:bert-large-encoder", 512),
    "gpt2-large": ("gpt:gpt2-large", 1024),
    "gpt3-xl(GPT2 arch)": ("gpt:gpt3-xl", 2048),
    "gpt3-2.7b(GPT2 arch)": ("gpt:gpt3-2.7b", 2048),
    "facebook/opt-1.3b": ("gpt:opt-1.3b", 2048),
}


def _named(row: Row, names: Mapping[str, tuple[str, int | None]], *, optimizer: str | None) -> Case:
    if row.model not in names:
        raise NotPredictedError(f"no builder for {row.model}")
    model, tokens = names[row.model]
    text = tokens is not None
    if text and row.task == "infer" and row.metric == "tokens_per_s" and not row.seq_len:
        raise NotPredictedError("text is generated with a beam")
    recipe = _tokens_recipe(row, model, optimizer=optimizer) if text else _recipe(row, model, optimizer="sgd-momentum")
    if text:
        recipe = replace(recipe, input_shape=(row.seq_len or tokens or 1,), fused_attention=False)
    elif model == "zoo:nnunet":  # the large batches are of slices, the small ones of volumes
        recipe = replace(recipe, input_shape=(4, 192, 160) if _batch(row) >= 32 else (4, 128, 128, 128))
    elif "rcnn" in model:
        recipe = replace(recipe, input_shape=(3, 800, 1216))
    if "squad" in row.notes.lower() or "fine-tuning" in row.notes.lower():
        recipe = replace(recipe, model=recipe.model.replace("-mlm", "-qa"))
    if recipe.model == "zoo:transformer-xl-base" and "memory_length 640" in row.notes:
        recipe = replace(recipe, model="zoo:transformer-xl-base-640")
    batch, per_sample = _batch(row), float(recipe.input_shape[0]) if text else 1.0
    if model == "zoo:transformer-big":  # its batch is counted in tokens, of the target
        batch, per_sample = max(1, batch // 32), 32.0
    return Case(
        row=row,
        recipe=recipe,
        batch=batch,
        setting=replace(_setting(row, tf32="all" if row.precision != "fp32" else "none"), channels_last=_last(row)),
        per_sample=per_sample if row.metric == "tokens_per_s" else 1.0,
    )


def _last(row: Row) -> bool:
    """NVIDIA's classification scripts go channels last with mixed precision; lambdal's older ones do not."""
    if row.memory_format:
        return row.memory_format == "nhwc"
    return row.source == "NVIDIA/DeepLearningExamples" and row.precision == "amp-fp16" and row.model == "resnet50"


def _tokens_recipe(row: Row, model: str, *, optimizer: str | None) -> Recipe:
    dtype, weights = _precision(row)
    return Recipe(
        model=model,
        task=row.task,
        dtype=dtype,
        weights=weights,
        input_shape=(row.seq_len or 1,),
        optimizer=optimizer if row.task == "train" else None,
    )


def _sequence(row: Row) -> float:
    if not row.seq_len:
        raise NotPredictedError("no sequence length is given")
    return float(row.seq_len)


def _precision(row: Row) -> tuple[str, str]:
    if row.precision is None or row.precision not in PRECISIONS:
        raise NotPredictedError(f"precision {row.precision or 'not given'} is not traced")
    return PRECISIONS[row.precision]


def _recipe(row: Row, model: str, *, optimizer: str | None) -> Recipe:
    dtype, weights = _precision(row)
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
    if row.source == "ryujaehun/pytorch-gpu-benchmark" and "A100" not in row.gpu:
        text = text.split("(")[0]  # "1.4 (A100: NGC 20.10)" of all its rows: the container is the A100's alone
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
        raise NotPredictedError("no batch is given")
    return round(row.batch)


def _image_shape(row: Row) -> tuple[int, ...]:
    found = re.fullmatch(r"(\d+)x(\d+)x(\d+)", row.input_shape or "3x224x224")
    return tuple(int(size) for size in found.groups()) if found else (3, 224, 224)


def _elements(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
