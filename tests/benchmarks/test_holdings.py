"""What runs keep in memory otherwise than their trace: packed weights, DeepSpeed's states, PEFT's copies."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.accuracy.cases import case
from benchmarks.accuracy.holdings import in_turn, packed, with_masters, with_trained_copies
from benchmarks.accuracy.rows import Row

from rooflight.estimate.holding import Blocks
from rooflight.estimate.table import table
from tests.estimate.gpus import product, step_of

INNER, HEAD = 96 * 32 * 2, 256 * 96 * 2  # bytes of the two weights, in 16 bits
STEP = step_of(product(8, 96, 32), product(8, 256, 96), product(8, 32, 96, phase="backward"), task="train")
TABLE = table(STEP)
BLOCKS = Blocks(
    bytes=np.array([INNER, HEAD, INNER, 1000.0]),
    first=np.zeros(4, dtype=np.int64),
    last=np.full(4, 2, dtype=np.int64),
    roles=("parameter", "parameter", "activation", "optimizer_state"),
)
ROW = Row(
    source="QwenLM/Qwen",
    path="README.md",
    gpu="A100 SXM4 80GB",
    gpus=1,
    framework="pytorch/transformers",
    version="2.0.1",
    model="Qwen-7B LoRA",
    task="train",
    precision="bf16",
    memory_format=None,
    compiled=False,
    batch=1.0,
    input_shape=None,
    seq_len=256,
    metric="peak_memory_gib",
    value=20.0,
    notes="",
)


def test_weights_of_products_are_packed_and_the_head_and_what_is_no_weight_are_not() -> None:
    found = packed(BLOCKS, TABLE, bits=4.5)
    assert found.bytes.tolist() == pytest.approx([96 * 32 * 4.5 / 8, HEAD, INNER, 1000.0])


def test_training_unpacks_a_weight_for_each_product_that_it_is_in_alone() -> None:
    found = packed(BLOCKS, TABLE, bits=4, adapter_rank=8)
    assert found.bytes[4:].tolist() == [INNER, INNER]
    assert found.first[4:].tolist() == found.last[4:].tolist() == [0, 2]  # the head's product is operator 1


def test_an_adapter_is_not_packed() -> None:
    assert packed(BLOCKS, TABLE, bits=4, adapter_rank=32).bytes.tolist() == BLOCKS.bytes.tolist()


def test_states_in_float32_take_three_times_those_in_16_bits() -> None:
    assert with_masters(BLOCKS, TABLE).bytes.tolist() == [INNER, HEAD, INNER, 3000.0]


def test_a_module_trained_beside_adapters_has_a_copy_gradients_and_two_moments_through_the_step() -> None:
    found = in_turn(None, lambda blocks, table: with_trained_copies(blocks, table, size=100.0))(BLOCKS, TABLE)
    assert found.bytes[4:].tolist() == [100.0, 100.0, 200.0]
    assert set(found.last[4:].tolist()) == {len(TABLE) - 1}


def test_a_run_with_checkpointing_is_traced_with_it_for_its_memory_alone() -> None:
    memory, timed = case(ROW), case(replace(ROW, metric="s_per_step"))
    assert (memory.recipe.checkpointing, memory.recipe.lora_rank) == (True, 64)
    assert not timed.recipe.checkpointing
    assert timed.setting.recomputes


def test_each_of_qwens_runs_holds_what_its_script_makes_it_hold() -> None:
    def more(model: str) -> float:
        holding = case(replace(ROW, model=model)).holding
        assert holding is not None
        return float(holding(BLOCKS, TABLE).bytes.sum() - BLOCKS.bytes.sum())

    assert more("Qwen-7B LoRA") == 0.0
    assert more("Qwen-7B LoRA (emb)") == 4 * 2 * 2 * 151936 * 4096  # copy, gradient, two moments of embedding and head
    assert more("Qwen-7B Full-parameter") == 2000.0
    assert more("Qwen-7B Q-LoRA") == pytest.approx(INNER * (4.125 / 16 - 1) + 2 * INNER)
