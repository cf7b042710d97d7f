"""What to do when nothing fits: every way is what a trace of the changed step says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rooflight.catalogue.find import find
from rooflight.core.plans import Plan, PlanConfig, WayOut
from rooflight.estimate.memory import peak
from rooflight.flows.plan import plan
from rooflight.flows.plan_catalogue import sweep_of
from rooflight.flows.plan_models import traced
from rooflight.flows.plan_ways_out import _parts

MLP = """
import torch
from torch import nn
INPUT_SHAPE = (4096,)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4096, 8192), nn.GELU(), nn.Linear(8192, 4096))

    def forward(self, x):
        return x + self.inner(x)


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*[nn.Sequential(Block()) for _ in range(6)])
        self.head = nn.Linear(4096, 10)

    def forward(self, x):
        return self.head(self.blocks(x))


def build():
    return Deep()
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PlanConfig:
    """Six wide blocks at a batch that 16 GB do not hold."""
    file = tmp_path_factory.mktemp("model") / "deep.py"
    file.write_text(MLP)
    return PlanConfig(model=f"{file}:build", batch=65536, dtype="float16", gpu=("T4",), device="cpu", measure=False)


@pytest.fixture(scope="module")
def answer(config: PlanConfig) -> Plan:
    found = plan(config)
    assert found.exit_code == 1
    assert isinstance(found.answer, Plan)
    return found.answer


def way(answer: Plan, flags: str) -> WayOut:
    return next(each for each in answer.ways_out if each.flags.startswith(flags))


def test_every_way_is_named_with_its_memory_and_its_price(answer: Plan, config: PlanConfig) -> None:
    kinds = {each.flags.split()[0] for each in answer.ways_out}
    assert {"--batch", "--accumulation", "--checkpointing", "--optimizer"} <= kinds
    text = "\n".join(plan(config).notes)
    for each in answer.ways_out:
        assert (f"Try {each.flags} on" in text) == each.fits


def test_checkpointing_is_the_trace_of_checkpointing(answer: Plan, config: PlanConfig) -> None:
    again = replace(config, checkpointing=True)
    found = sweep_of(traced(again, "float16", alone=True), again).estimate(find("T4")).estimate
    mine = way(answer, "--checkpointing")
    assert mine.peak_bytes == found.peak_bytes < answer.estimates[0].peak_bytes
    assert mine.step_seconds == pytest.approx(found.step_seconds)
    assert mine.time_ratio > 1  # forward runs twice


def test_accumulation_from_two_micro_batches_is_that_of_all(answer: Plan, config: PlanConfig) -> None:
    mine = way(answer, "--accumulation")
    parts = int(mine.flags.split()[1])
    assert parts > 2
    again = replace(config, accumulation=parts)
    found = sweep_of(traced(again, "float16", alone=True), again).estimate(find("T4")).estimate
    # only the batch itself is larger: two micro-batches of it are traced, all are there
    assert mine.peak_bytes == pytest.approx(found.peak_bytes, rel=0.2)
    assert mine.step_seconds == pytest.approx(found.step_seconds, rel=0.05)


def test_an_8_bit_optimizer_saves_three_quarters_of_the_state(answer: Plan, config: PlanConfig) -> None:
    def state(optimizer: str) -> int:
        found = traced(replace(config, optimizer=optimizer), "float16", alone=True).whole
        return sum(block.bytes for block in found.lifetimes if block.role == "optimizer_state")

    assert 0.25 < state("adam-8bit") / state("adam") < 0.27
    assert way(answer, "--optimizer").peak_bytes < answer.estimates[0].peak_bytes


def test_the_peak_says_when_and_what(answer: Plan, config: PlanConfig) -> None:
    step = traced(config, "float16", alone=True).whole
    assert answer.peak is not None
    assert answer.peak.bytes == peak(step).bytes == sum(answer.peak.by_role.values())
    assert step.ops[answer.peak.op].phase == answer.peak.phase
    assert list(answer.peak.by_role.values()) == sorted(answer.peak.by_role.values(), reverse=True)


@pytest.mark.parametrize(("batch", "most", "parts"), [(64, 64, 2), (64, 20, 4), (60, 20, 3), (7, 3, 7), (8, 0, None)])
def test_fewest_equal_micro_batches(batch: int, most: int, parts: int | None) -> None:
    assert _parts(batch, most) == parts


def test_where_no_change_alone_is_enough_several_are_tried_together() -> None:
    pytest.importorskip("transformers")
    report = plan(PlanConfig(model="hf:gpt2", batch=8, seq_len=1024, gpu=("GeForce GTX 1050 2GB",), dtype="float32"))
    answer = report.answer
    assert isinstance(answer, Plan)
    together = [way.flags for way in answer.ways_out if way.fits]
    assert together
    assert all(flags.startswith("--batch 1 --checkpointing") for flags in together)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({"task": "infer", "dtype": "float32"}, "--dtype bfloat16 --parameter-dtype bfloat16"),
        ({"task": "infer", "dtype": "bfloat16", "parameter_dtype": "float32"}, "--parameter-dtype bfloat16"),
        ({"dtype": "bfloat16"}, "--trainable lora --parameter-dtype bfloat16"),
        ({"dtype": "bfloat16", "trainable": "lora"}, "--parameter-dtype bfloat16"),
    ],
)
def test_weights_that_are_not_trained_are_tried_in_two_bytes(
    config: PlanConfig, tmp_path: Path, changes: dict[str, Any], flags: str
) -> None:
    file = tmp_path / "deep.py"
    words = MLP.replace("range(6)", "range(40)")  # 10 GiB of weights in float32, of 6 there are
    file.write_text(
        words.replace("self.blocks(x)", "self.blocks(x.to(self.head.weight.dtype))")
    )  # adapters take floats
    asked = replace(config, model=f"{file}:build", batch=8, gpu=("RTX A2000 6GB",), **changes)
    answer = plan(asked).answer
    assert isinstance(answer, Plan)
    mine = next(each for each in answer.ways_out if each.flags == flags)
    assert mine.not_the_same is not None
    assert "rounded to bfloat16" in mine.not_the_same
    assert mine.peak_bytes < answer.estimates[0].peak_bytes


def test_a_way_that_the_model_does_not_have_is_named(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text("from torch import nn\nINPUT_SHAPE = (4096,)\ndef build():\n    return nn.Linear(4096, 10)\n")
    report = plan(PlanConfig(model=f"{file}:build", batch=2**21, dtype="float16", gpu=("T4",)))
    assert isinstance(report.answer, Plan)
    assert [words.partition(":")[0] for words in report.answer.untraced] == ["--checkpointing", "--trainable lora"]
    assert any(note.startswith("no way out: --checkpointing: ") and "repeats no block" in note for note in report.notes)
