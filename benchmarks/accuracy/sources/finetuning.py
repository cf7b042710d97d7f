"""Language models finetuned: litgpt, Qwen's own script, torchtune."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from benchmarks.accuracy.cases import Case, NotPredictedError, Recipe
from benchmarks.accuracy.changes import Change
from benchmarks.accuracy.holdings import Holding, in_turn, packed, with_masters, with_trained_copies
from benchmarks.accuracy.reading import PRECISIONS, Precision, batch, sequence, setting, token_recipe
from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.sources.general import of_precision
from benchmarks.accuracy.zoo.gpt import SHAPES

LITGPT = {"phi-1.5 1.3 B": "phi-1.5", "Llama 2 7 B": "llama-2-7b", "Llama 2 13 B": "llama-2-13b"}

# Alpaca's texts under their prompt: the instruction's 59 characters and the answer's 270 on average (the data card of
# tatsu-lab/alpaca), the prompt's 150, at four characters a token. Rows say the longest text alone.
ALPACA_TOKENS = 120

QWEN: Mapping[str, str] = {"7B": "gpt:qwen-7b", "14B": "gpt:qwen-14b", "72B": "gpt:qwen-72b", "1.8B": "gpt:qwen-1.8b"}
MICRO_BATCHES = 8
# finetune.py's lora_r, QwenLM/Qwen at 00dceeb. For time adapters are traced at the usual rank: of the products' work
# they are 3 % at most.
QWEN_RANK = 64

TORCHTUNE = {"8B": "gpt:llama-3.1-8b", "70B": "gpt:llama-3.1-70b"}


def litgpt(row: Row) -> Case:
    """litgpt's finetuning scripts on one GPU: LoRA, or adapters, a micro-batch of one sequence.

    Memory is that of the longest text, time that of an average one.
    """
    if row.model not in LITGPT:
        raise NotPredictedError(f"no builder for {row.model}")
    timed = row.metric != "peak_memory_gib"
    recipe = token_recipe(row, f"gpt:{LITGPT[row.model]}", optimizer="adamw")
    trainable: Literal["all", "lora"] = "all" if re.search(r"[Ff]ull", row.notes.partition("]")[0]) else "lora"
    recipe = replace(recipe, trainable=trainable, input_shape=(ALPACA_TOKENS,) if timed else recipe.input_shape)
    if "32-true" in row.notes:
        recipe = replace(recipe, dtype="float32", weights="float32")
    elif "bf16-mixed" in row.notes:
        recipe = replace(recipe, weights="float32")
    quantized_by = re.search(r"quant=(\S+)", row.notes)
    kept = None if quantized_by is None or quantized_by[1] == "None" else PRECISIONS["nf4"]
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=setting(row, tf32="all"),
        change=_unpacking(kept),
        holding=_packed(kept, recipe),
    )


def qwen(row: Row) -> Case:
    """Qwen's finetune.py: a step is 8 micro-batches of one sequence; memory is that of all GPUs together."""
    if row.task == "infer":
        from benchmarks.accuracy.sources.serving import speed_table

        return speed_table(row)
    size = re.search(r"Qwen-([\d.]+B)", row.model)
    if size is None or size[1] not in QWEN:
        raise NotPredictedError(f"no builder for {row.model}")
    adapters = "LoRA" in row.model
    kept = PRECISIONS["w4a16"] if "Q-LoRA" in row.model else None
    recipe = _checkpointed(token_recipe(row, QWEN[size[1]], optimizer="adamw"), row)
    if adapters:
        recipe = replace(recipe, trainable="lora", lora_rank=QWEN_RANK if recipe.checkpointing else recipe.lora_rank)
    whole = "sharded" if "Zero3" in row.model or not adapters else "processes"
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=replace(setting(row, tf32="all"), recomputes=True),
        parallel=whole if row.gpus > 1 else None,  # type: ignore[arg-type]
        repeats=MICRO_BATCHES,
        change=_unpacking(kept),
        holding=in_turn(_packed(kept, recipe), _beside_adapters(row, recipe)),
    )


def _beside_adapters(row: Row, recipe: Recipe) -> Holding | None:
    """DeepSpeed's float32 states of whole models; "emb": embedding and head are trained whole beside the adapters."""
    if recipe.trainable == "all":
        return with_masters
    if "emb" not in row.model:
        return None
    shape = SHAPES[recipe.model.removeprefix("gpt:")]
    return partial(with_trained_copies, size=2.0 * 2.0 * shape.vocabulary * shape.width)


def torchtune(row: Row) -> Case:
    """torchtune's recipes, packed sequences, compiled; activations are checkpointed by default; FSDP on several."""
    size = next((size for size in TORCHTUNE if size in row.model.replace("70B", "70B ").split()), None)
    if size is None:
        raise NotPredictedError(f"no builder for {row.model}")
    if "offload" in row.notes.lower():
        raise NotPredictedError("weights and optimizer on the host are not modelled")
    recipe = token_recipe(row, TORCHTUNE[size], optimizer="sgd")
    recipe = _checkpointed(replace(recipe, trainable="lora" if "LoRA" in row.model else "all"), row)
    return Case(
        row=row,
        recipe=recipe,
        batch=batch(row),
        setting=replace(setting(row, tf32="all"), recomputes=True),
        parallel="sharded" if row.gpus > 1 else None,
        per_sample=sequence(row),
    )


def _checkpointed(recipe: Recipe, row: Row) -> Recipe:
    """For its memory, what a run with activation checkpointing keeps is traced; for its time the setting says it."""
    return replace(recipe, checkpointing=row.metric == "peak_memory_gib")


def _packed(kept: Precision | None, recipe: Recipe) -> Holding | None:
    if kept is None or kept.bits is None:
        return None
    return partial(packed, bits=kept.bits, adapter_rank=recipe.lora_rank)


def _unpacking(kept: Precision | None) -> Change | None:
    """Training with packed weights: each product unpacks them to 16 bits first, forward and backward."""
    return None if kept is None else of_precision(replace(kept, product=None), text=True, unpacked=True)
