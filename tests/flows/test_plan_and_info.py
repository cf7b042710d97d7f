"""What there is, and what it would take."""

import pytest

from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.plans import Plan, PlanConfig
from rooflight.core.tables import text
from rooflight.core.types import Machine
from rooflight.flows import plan_here
from rooflight.flows.info import info
from rooflight.flows.plan import plan
from tests.flows.conftest import ROOF


@pytest.fixture(autouse=True)
def roof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round figures in place of a measurement."""
    monkeypatch.setattr(plan_here, "find_roof", lambda *arguments, **options: ROOF)


def test_info_is_a_machine_that_survives_json() -> None:
    report = info(quick=True)
    assert isinstance(report.answer, Machine)
    assert from_json(Machine, to_json(report.answer)) == report.answer
    assert report.answer.cpu.model in text(report)


def test_plan_has_the_fields_of_the_contract() -> None:
    answer = plan(PlanConfig(batch=128, dtype="float32", device="cpu")).answer
    assert isinstance(answer, Plan)
    assert from_json(Plan, to_json(answer)) == answer
    (row,) = answer.estimates
    assert answer.trace.parameters == 93_322
    assert answer.trace.parameter_bytes == 4 * 93_322
    assert row.fits
    assert row.samples_per_second == pytest.approx(128 / row.step_seconds)
    assert row.low <= row.samples_per_second <= row.high


def test_training_takes_more_than_inference_and_a_large_batch_more_than_a_small() -> None:
    def predicted(task: str, batch: int) -> tuple[float, int]:
        answer = plan(PlanConfig(task=task, batch=batch, dtype="float32", device="cpu")).answer  # type: ignore[arg-type]
        assert isinstance(answer, Plan)
        return answer.estimates[0].step_seconds, answer.estimates[0].peak_bytes

    small, large, infer = predicted("train", 32), predicted("train", 256), predicted("infer", 256)
    assert small < large
    assert infer < large


def test_a_batch_that_does_not_fit_is_a_clear_no() -> None:
    report = plan(PlanConfig(batch=1_000_000, dtype="float32", device="cpu"))
    assert isinstance(report.answer, Plan)
    assert not report.answer.estimates[0].fits
    assert report.exit_code == 1


def test_wrong_input_is_said() -> None:
    with pytest.raises(ConfigError, match="--batch 0"):
        plan(PlanConfig(batch=0, device="cpu"))
    with pytest.raises(ConfigError, match="no model 'cmn'"):
        plan(PlanConfig(model="cmn", device="cpu"))
