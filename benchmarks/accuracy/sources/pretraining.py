"""Language models trained, or run forward, on whole sequences: NeuSight, llm-foundry, torchtitan."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from benchmarks.accuracy.cases import Case, NotPredictedError
from benchmarks.accuracy.changes import quantized
from benchmarks.accuracy.names import TOKENS, library_name
from benchmarks.accuracy.reading import batch, precision, sequence, setting, token_recipe
from benchmarks.accuracy.rows import Row

NEUSIGHT: Mapping[str, tuple[str, int]] = {  # the model, and the tokens of a sequence where a row does not say
    "bert-large-uncased": ("zoo:bert-large-encoder", 512),
    "gpt2-large": ("gpt:gpt2-large", 1024),
    "gpt3-xl(GPT2 arch)": ("gpt:gpt3-xl", 2048),
    "gpt3-2.7b(GPT2 arch)": ("gpt:gpt3-2.7b", 2048),
    "facebook/opt-1.3b": ("gpt:opt-1.3b", 2048),
}
TITAN = {"8b": "meta-llama/Llama-3.1-8B", "70b": "meta-llama/Llama-3.1-70B", "405b": "meta-llama/Llama-3.1-405B"}


def neusight(row: Row) -> Case:
    """Hugging Face models in float32 without TF32, attention not fused, forward or forward and backward."""
    name, length = NEUSIGHT.get(row.model) or (library_name(row.model), 512)
    if not name.startswith(("gpt:", "hf:")) and name not in TOKENS and name != "zoo:bert-large-encoder":
        raise NotPredictedError(f"no builder for {row.model}")
    recipe = replace(token_recipe(row, name, optimizer=None, length=length), fused_attention=False)
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=replace(setting(row, tf32="none"), channels_last=False),
        parallel="processes" if row.gpus > 1 else None,
        per_sample=float(recipe.input_shape[0]) if "token" in row.metric else 1.0,
    )


def foundry(row: Row) -> Case:
    """llm-foundry: FSDP on Composer, bf16, flash attention; totals."""
    recipe = token_recipe(row, f"gpt:{row.model}", optimizer="adamw")
    pure = "mp=PURE" in row.notes
    return Case(
        row=row,
        recipe=replace(recipe, weights="bfloat16" if pure else "float32", dtype="bfloat16"),
        batch=batch(row),
        setting=replace(setting(row, tf32="all"), recomputes="act_ckpt=True" in row.notes),
        parallel="sharded",
        per_sample=sequence(row),
    )


def torchtitan(row: Row) -> Case:
    """torchtitan's Llama 3.1: FSDP 2 in bf16 over float32 weights; tokens and FLOPs per GPU.

    Its tables give one GPU's figures: the metric is that of one of them, and a total is what the others add.
    """
    size = re.search(r"(\d+)b", row.model.lower())
    if size is None or f"{size[1]}b" not in TITAN:
        raise NotPredictedError(f"no builder for {row.model}")
    recipe = token_recipe(row, f"hf:{TITAN[f'{size[1]}b']}", optimizer="adamw", length=8192)
    recomputes = "selective" not in row.notes.lower() or "full" in row.notes.lower()
    eight_bits = precision(row, usual="bf16").product == "float8" or "float8" in row.notes.lower()
    case = Case(
        row=row,
        recipe=replace(recipe, dtype="bfloat16", weights="float32"),
        batch=batch(row),
        setting=replace(setting(row, tf32="all"), recomputes=recomputes),
        parallel="sharded" if row.gpus > 1 else None,
        per_sample=recipe.input_shape[0] / row.gpus,
    )
    return replace(case, change=partial(quantized, bits=16, product="float8")) if eight_bits else case
