"""What a workload asks of the model, each by arithmetic: micro-batches, checkpoints, what trains, dtypes, texts."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rooflight.core.errors import ConfigError, TraceError
from rooflight.core.types import Trace, Workload
from rooflight.trace.inputs import tokens
from rooflight.trace.prepare import prepare
from rooflight.trace.tracer import trace

D, BLOCKS = 64, 4
TRAIN = Workload(model="blocks", task="train", batch=8, input_shape=(D,), dtype="float32", optimizer="sgd")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(D, D, bias=False), nn.ReLU(), nn.Linear(D, D, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mlp(x)
        return out


def blocks() -> nn.Module:
    return nn.Sequential(nn.Sequential(*(Block() for _ in range(BLOCKS))), nn.Linear(D, 10))


def products(found: Trace) -> int:
    return sum(op.flops for op in found.ops if op.kind == "matmul")


def size(found: Trace, role: str) -> int:
    return sum(life.bytes for life in found.lifetimes if life.role == role)


ONE = 2 * 8 * D * D  # FLOPs of one of the blocks' products
HEAD = 2 * 8 * D * 10


def test_a_plain_step() -> None:
    found = trace(blocks, TRAIN)
    # forward, and twice that backward but for the gradient of the batch itself
    assert products(found) == 3 * (2 * BLOCKS * ONE + HEAD) - ONE
    assert size(found, "gradient") == found.parameter_bytes == 4 * (2 * BLOCKS * D * D + 10 * D + 10)


def test_checkpointed_blocks_run_again_and_keep_their_input_alone() -> None:
    plain, found = (
        trace(blocks, replace(TRAIN, batch=512)),
        trace(blocks, replace(TRAIN, batch=512, checkpointing=True)),
    )
    again = 2 * BLOCKS * ONE // 8 * 512
    assert products(found) == products(plain) + again - BLOCKS * ONE // 8 * 512  # the last product of each is not read
    # a plain block keeps two activations of 512·D floats beside its input; one checkpointed block at a time has them
    activation = 512 * D * 4
    assert plain.peak_bytes - found.peak_bytes >= (BLOCKS - 1) * activation


def test_accumulation_runs_the_micro_batches_one_after_another() -> None:
    plain, found = trace(blocks, TRAIN), trace(blocks, replace(TRAIN, accumulation=4))
    assert products(found) == products(plain)
    assert [op.phase for op in found.ops].count("optimizer") == 1
    # parameters have one gradient, to which three of the four micro-batches are added
    added = [op for op in found.ops if op.phase == "backward" and op.name == "aten.add_.Tensor"]
    assert len(added) == 3 * (2 * BLOCKS + 2)
    assert size(found, "input") == (8 // 4) * D * 4 + 8 * 8  # one micro-batch at a time, and its targets
    with pytest.raises(ConfigError, match="8 does not divide into 3"):
        trace(blocks, replace(TRAIN, accumulation=3))


def test_the_head_alone_needs_no_backward_through_the_blocks() -> None:
    found = trace(blocks, replace(TRAIN, trainable="head"))
    assert products(found) == 2 * BLOCKS * ONE + 2 * HEAD
    assert size(found, "gradient") == 4 * (10 * D + 10)
    with pytest.raises(ConfigError, match="no linear layer to train alone"):
        trace(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), replace(TRAIN, trainable="head"))


def test_adapters_train_and_their_base_does_not() -> None:
    rank = 4
    found = trace(blocks, replace(TRAIN, trainable="lora", lora_rank=rank, optimizer="adam"))
    adapters = 2 * BLOCKS * 2 * rank * D
    assert size(found, "gradient") == 4 * adapters
    assert size(found, "optimizer_state") == 2 * 4 * adapters + 2 * 2 * BLOCKS * 4  # and a step counter for each tensor
    assert found.parameters == 2 * BLOCKS * D * D + 10 * D + 10 + adapters
    low = 2 * 8 * D * rank
    forward = 2 * BLOCKS * (ONE + 2 * low) + HEAD
    # backward: through every base but the first, whose input is the batch; adapters' inputs and weights
    backward = (2 * BLOCKS - 1) * ONE + HEAD + 2 * BLOCKS * 4 * low - low
    assert products(found) == forward + backward


def test_half_precision_parameters_need_no_autocast() -> None:
    half = trace(blocks, replace(TRAIN, dtype="bfloat16", parameter_dtype="bfloat16"))
    mixed = trace(blocks, replace(TRAIN, dtype="bfloat16"))
    assert not any("_to_copy" in op.name for op in half.ops)
    assert any("_to_copy" in op.name for op in mixed.ops)
    assert 2 * half.parameter_bytes == mixed.parameter_bytes
    assert {op.dtype for op in half.ops if op.kind == "matmul"} == {"bfloat16"}


def test_tensorfloat32_is_for_products_alone() -> None:
    found = trace(blocks, replace(TRAIN, dtype="tfloat32"))
    assert {op.dtype for op in found.ops if op.product} == {"tfloat32"}
    assert {op.dtype for op in found.ops if not op.product} == {"float32"}
    assert found.peak_bytes == trace(blocks, TRAIN).peak_bytes


class Decoder(nn.Module):
    """A language model of one layer that keeps a cache, called as those of transformers are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.project, self.out = nn.Embedding(50, D), nn.Linear(D, 3 * D), nn.Linear(D, 50)

    def forward(self, input_ids: Tensor, past_key_values: Any = None, use_cache: bool = False) -> SimpleNamespace:
        q, k, v = self.project(self.embed(input_ids)).unflatten(-1, (3, 4, D // 4)).permute(2, 0, 3, 1, 4)
        if past_key_values is not None:
            k = torch.cat([past_key_values["k"], k], dim=2)
            v = torch.cat([past_key_values["v"], v], dim=2)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=past_key_values is None)
        cache = {"k": k.contiguous(), "v": v.contiguous()} if use_cache else None
        return SimpleNamespace(logits=self.out(x.transpose(1, 2).flatten(2)), past_key_values=cache)


def generated(generation: Any) -> Trace:
    workload = Workload(
        model="decoder",
        task="infer",
        batch=2,
        input_shape=(24,),
        dtype="bfloat16",
        parameter_dtype="bfloat16",
        generation=generation,
    )
    return trace(Decoder, workload, make_input=lambda asked: {"input_ids": tokens(asked)})


def test_prefill_and_decode() -> None:
    each = 2 * (D * 3 * D + D * 50)
    prefill, decode = generated("prefill"), generated("decode")
    assert products(prefill) == 2 * 24 * each
    assert products(decode) == 2 * each
    attention = [[op.product for op in found.ops if op.kind == "attention"] for found in (prefill, decode)]
    assert attention == [[(2 * 4, 24, 24, 16)], [(2 * 4, 1, 25, 16)]]
    # keys and values of 24 tokens in two bytes, there before the step
    assert size(decode, "kv_cache") == 2 * 2 * 24 * D * 2
    assert {life.first_op for life in decode.lifetimes if life.role == "kv_cache"} == {0}
    assert size(prefill, "kv_cache") == 0


def test_a_model_of_transformers_without_its_own_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=10)
    model = transformers.GPT2LMHeadModel(config)
    monkeypatch.delattr(transformers.PreTrainedModel, "gradient_checkpointing_enable")
    with pytest.raises(ConfigError, match="no gradient_checkpointing_enable"):
        prepare(model, replace(TRAIN, checkpointing=True))


def test_what_cannot_generate() -> None:
    with pytest.raises(TraceError, match="no language model of transformers"):
        trace(blocks, replace(TRAIN, task="infer", generation="decode"))
    workload = replace(TRAIN, checkpointing=True)
    with pytest.raises(ConfigError, match="repeats no block"):
        trace(lambda: nn.Linear(D, 3), workload)
