"""A saved trace is enough to plan: the same figures, without torch."""

import json
import subprocess
import sys
from pathlib import Path

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
