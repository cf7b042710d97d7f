"""A saved trace is enough to plan: the same figures, without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.plans import Plan, PlanConfig
from rooflight.estimate.affine import TraceFamily
from rooflight.flows.plan import plan, plan_trace

GPUS = ("A100 SXM4 80GB", "GeForce RTX 4090")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CNN's trace, as `plan --trace-only --json` prints it."""
    path = tmp_path_factory.mktemp("traces") / "cnn.json"
    path.write_text(to_json(plan_trace(PlanConfig(batch=128, dtype="bfloat16")).answer))
    return path


def test_the_step_at_every_batch_is_the_answer(file: Path) -> None:
    held = from_json(TraceFamily, file.read_text())
    assert held.base.parameters == 93_322
    assert held.base.workload.batch + held.samples == 128


def test_a_saved_trace_gives_the_same_figures(file: Path) -> None:
    direct = plan(PlanConfig(batch=128, dtype="bfloat16", gpu=GPUS)).answer
    read = plan(PlanConfig(model=str(file), gpu=GPUS)).answer
    assert isinstance(direct, Plan)
    assert isinstance(read, Plan)
    assert read.workload == direct.workload
    for one, other in zip(direct.estimates, read.estimates, strict=True):
        assert (one.gpu, one.step_seconds, one.peak_bytes) == (other.gpu, other.step_seconds, other.peak_bytes)


def test_any_batch_and_the_largest_come_from_it(file: Path) -> None:
    direct = plan(PlanConfig(batch=512, dtype="bfloat16", gpu=GPUS)).answer
    read = plan(PlanConfig(model=str(file), batch=512, gpu=GPUS)).answer
    assert isinstance(direct, Plan)
    assert isinstance(read, Plan)
    assert read.trace == direct.trace
    assert [row.max_batch for row in read.estimates] == [row.max_batch for row in direct.estimates]
    assert None not in [row.max_batch for row in read.estimates]


def test_a_trace_is_not_asked_for_what_it_is_not_of(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is of dtype bfloat16, asked was float16"):
        plan(PlanConfig(model=str(file), dtype="float16"))
    with pytest.raises(ConfigError, match="is of task train, asked was infer"):
        plan(PlanConfig(model=str(file), task="infer"))
    with pytest.raises(ConfigError, match="is of optimizer adam, asked was sgd"):
        plan(PlanConfig(model=str(file), optimizer="sgd"))
    with pytest.raises(ConfigError, match=r"is of checkpointing False, .* with --checkpointing\."):
        plan(PlanConfig(model=str(file), checkpointing=True))
    with pytest.raises(ConfigError, match=r"--image-size 64: .* of samples of \(1, 28, 28\)"):
        plan(PlanConfig(model=str(file), image_size=64))
    with pytest.raises(ConfigError, match="a saved trace is of what another GPU runs"):
        plan(PlanConfig(model=str(file), gpu=("here",)))
    one = tmp_path / "one.json"
    one.write_text(to_json(from_json(TraceFamily, file.read_text()).base))
    with pytest.raises(ConfigError, match="is of batch 64, asked was 32"):
        plan(PlanConfig(model=str(one), batch=32))


def test_a_damaged_trace_is_one_sentence(file: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.json"
    damaged.write_text(file.read_text()[:500])
    with pytest.raises(ConfigError, match="is not JSON"):
        plan(PlanConfig(model=str(damaged)))
    damaged.write_text('{"workload": {}}')
    with pytest.raises(ConfigError, match="lacks the key"):
        plan(PlanConfig(model=str(damaged)))


@pytest.mark.parametrize("from_stdin", [True, False], ids=["stdin", "file"])
def test_the_whole_catalogue_without_torch(file: Path, from_stdin: bool) -> None:
    code = (
        "import sys; from rooflight.cli.main import run; code = run(sys.argv[1:]);"
        "assert not {'torch', 'torchvision'} & set(sys.modules), 'torch was imported'; sys.exit(code)"
    )
    arguments = ["plan", "-" if from_stdin else str(file), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], input=file.read_text(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["estimates"]) > 100


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "sgd"}, "is of optimizer adam, asked was sgd"),
        (
            {"checkpointing": True},
            "checkpointing False, asked was True. Trace the model again with --checkpointing.",
        ),
        ({"accumulation": 2}, "is of accumulation 1, asked was 2"),
        ({"trainable": "head"}, "is of trainable all, asked was head"),
        ({"generation": "decode"}, "is of generation None, asked was decode"),
        ({"seq_len": 5}, "is a trace of samples of (1, 28, 28)"),
        ({"image_size": 32}, "is a trace of samples of (1, 28, 28)"),
        ({"parameter_dtype": "bfloat16"}, "is of parameter-dtype float32, asked was bfloat16"),
    ],
)
def test_a_flag_that_changes_the_trace_is_not_left_out_in_silence(
    file: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        plan(PlanConfig(model=str(file), gpu=GPUS, **changes))


def test_the_flags_it_was_traced_with_are_taken(file: Path) -> None:
    plan(PlanConfig(model=str(file), gpu=GPUS, optimizer="adam", image_size=28, parameter_dtype="float32"))


@pytest.mark.parametrize("key", ["op_growth", "lifetime_growth", "samples"])
def test_a_document_that_does_not_say_how_each_number_grows(file: Path, tmp_path: Path, key: str) -> None:
    plain = json.loads(file.read_text())
    plain[key] = 0 if key == "samples" else plain[key][:5]
    (tmp_path / "part.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigError, match="does not say of each"):
        plan(PlanConfig(model=str(tmp_path / "part.json"), gpu=GPUS))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("flops", -1, "flops of operator 0, .* is -1, which cannot be"),
        ("bytes_read", -(10**9), "bytes_read of operator 0"),
        ("product", [1, 0, 3, 3], "a size of the product of operator 0, .* is 0, which cannot be"),
        ("product", [1, 2, 3, 10**400], "is a number of 401 digits, which cannot be"),
        ("batch", 0, "batch is 0, which cannot be"),
    ],
)
def test_numbers_that_cannot_be(file: Path, tmp_path: Path, key: str, value: Any, said: str) -> None:
    for name, plain in (("one", json.loads(file.read_text())["base"]), ("every", json.loads(file.read_text()))):
        held = plain["base"] if name == "every" else plain
        if key == "product":  # a family says how each grows: only an operator that has one may be changed
            place = next(index for index, op in enumerate(held["ops"]) if op["product"])
            said = said.replace("operator 0", f"operator {place}")
            held["ops"][place][key] = value
        else:
            (held["workload"] if key == "batch" else held["ops"][0])[key] = value
        (tmp_path / f"{name}.json").write_text(json.dumps(plain))
        with pytest.raises(ConfigError, match=said):
            plan(PlanConfig(model=str(tmp_path / f"{name}.json"), gpu=GPUS))


@pytest.mark.parametrize(
    "changes", [{"interleave": 2}, {"sequence_parallel": True}, {"shard": "parameters"}, {"shard_group": 2}]
)
def test_one_gpu_shares_nothing(file: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is for several GPUs, and there is one"):
        plan(PlanConfig(model=str(file), gpu=GPUS, **changes))


@pytest.mark.parametrize(
    "changes", [{"tensor": 2}, {"pipeline": 2}, {"shard": "optimizer"}, {"samples": 9}, {"accumulation": 2}]
)
def test_scaling_leaves_out_no_flag_in_silence(file: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is for one form; --scaling tries them all"):
        plan(PlanConfig(model=str(file), gpu=GPUS[:1], scaling="1..2", **changes))


def test_scaling_of_the_trace_of_one_batch(file: Path, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(json.loads(file.read_text())["base"]))
    with pytest.raises(ConfigError, match="--scaling needs a trace of every batch"):
        plan(PlanConfig(model=str(tmp_path / "one.json"), gpu=GPUS[:1], scaling="1..2"))


def test_a_training_step_generates_nothing() -> None:
    with pytest.raises(ConfigError, match=r"--generation decode is inference\. Try it with --task infer"):
        plan(PlanConfig(gpu=GPUS, generation="decode"))
