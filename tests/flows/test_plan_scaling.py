"""`plan` with several GPUs: forms by flags, and the best forms of many numbers of GPUs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rooflight.core.codec import to_json
from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel
from rooflight.core.plans import Plan, PlanConfig, ScalingPlan
from rooflight.core.tables import Report, table_text, text
from rooflight.core.types import Trace
from rooflight.estimate.affine import family
from rooflight.estimate.scaling import Search
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import load_shares
from rooflight.flows.plan import plan
from rooflight.flows.plan_generation import tokens_per_second
from rooflight.flows.plan_scaling import _reason
from tests.estimate.decoder import LENGTH, LINKED, decoder

H100 = "H100 SXM5 80GB"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A decoder's trace of every batch."""
    path: Path = tmp_path_factory.mktemp("saved") / "decoder.json"
    small, large, third = (decoder(batch=batch) for batch in (2, 4, 6))
    path.write_text(to_json(family(small, large, third)), encoding="utf-8")
    return str(path)


def of(saved: str, **settings: Any) -> Report:
    return plan(PlanConfig(model=saved, gpu=(H100,), **settings))


def test_flags_make_the_form(saved: str) -> None:
    report = of(saved, gpus=64, tensor=4, pipeline=2, shard="optimizer", accumulation=8, batch=32)
    answer = report.answer
    assert isinstance(answer, Plan)
    assert answer.workload.parallel == Parallel(data=8, tensor=4, pipeline=2, sharding="optimizer", micro_batches=8)
    assert answer.workload.gpus == 64
    assert answer.workload.batch == 4
    (row,) = answer.estimates
    assert row.samples_per_second == pytest.approx(8 * 32 / row.step_seconds)
    assert "64 GPUs: data 8 × tensor 4 × pipeline 2, optimizer sharded, 8 micro-batches" in text(report)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpus": 6, "tensor": 4}, "--gpus 6 does not divide by --tensor 4"),
        ({"gpus": 8, "accumulation": 3, "batch": 4}, "--batch 4 does not divide into --accumulation 3"),
        ({"gpus": 3, "tensor": 3}, "8 attention heads do not divide among 3"),
        ({"gpus": 2, "pipeline": 2, "shard": "parameters"}, "a pipeline with sharded parameters"),
        ({"gpus": 8193}, "--gpus 8,193: up to 8,192 are predicted"),
        ({"gpus": 10**9, "scaling": "1..8"}, "up to 8,192 are predicted"),
        ({"scaling": "8"}, "--scaling 8: two numbers of GPUs"),
        ({"scaling": "8..2"}, "Try --scaling 1..1024"),
        ({"scaling": "1..100000"}, "1 to 8,192"),
    ],
)
def test_what_is_no_form_is_one_sentence(saved: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        of(saved, **settings)


def test_scaling_wants_a_gpu_and_a_trace_of_every_batch(saved: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"add --gpu NAME"):
        plan(PlanConfig(model=saved, scaling="1..8"))
    alone = tmp_path / "alone.json"
    alone.write_text(to_json(decoder()), encoding="utf-8")
    with pytest.raises(ConfigError, match="is of one alone"):
        of(str(alone), scaling="1..8", batch=4)


def test_curves_have_a_point_for_each_number_and_say_why(saved: str) -> None:
    report = of(saved, scaling="1..64", batch=16)
    answer = report.answer
    assert isinstance(answer, ScalingPlan)
    (curve,) = answer.curves
    assert [point.gpus for point in curve.weak] == [1, 2, 4, 8, 16, 32, 64]
    assert {point.batch for point in curve.strong} == {16}
    assert [point.batch for point in curve.weak] == [16 * count for count in (1, 2, 4, 8, 16, 32, 64)]
    assert max(point.efficiency for point in curve.weak) == 1.0
    assert curve.strong[-1].efficiency < curve.strong[0].efficiency
    for point in (*curve.strong, *curve.weak):
        assert point.form.gpus == point.gpus
        assert 0 <= sum(point.waiting.values()) < 1
        assert (point.flops_per_network_byte is None) == (point.gpus == 1)
    said = text(report)
    assert "FLOP per byte sent" in said
    assert "forms that fit" in " ".join(said.split())
    assert json.loads(to_json(answer))["curves"][0]["gpu"] == H100


def test_a_host_that_is_the_slower_limits_every_point(saved: str) -> None:
    report = of(saved, scaling="1..8", batch=8)
    assert isinstance(report.answer, ScalingPlan)
    (curve,) = report.answer.curves
    assert {point.limited_by for point in curve.strong} == {"launch"}
    (row,) = plan(PlanConfig(model=saved, gpu=(H100,), batch=8)).answer.estimates  # type: ignore[union-attr]
    assert row.bound_by == "launch"
    assert "e+0" not in text(report)


def test_a_bubble_shorter_than_the_host_is_not_what_binds(saved: str) -> None:
    (row,) = of(saved, gpus=4, pipeline=4, accumulation=8, batch=8).answer.estimates  # type: ignore[union-attr]
    assert row.bound_by == "launch"


def test_a_bubble_longer_than_the_work_is_not_called_the_network(saved: str) -> None:
    report = of(saved, gpus=4, pipeline=4, batch=8)
    assert report.answer.estimates[0].bound_by == "bubble"  # type: ignore[union-attr]
    assert "bound by the bubble of its pipeline: of a step's" in " ".join(text(report).split())


@pytest.mark.parametrize(
    ("gpus", "said"),
    [(8, "A machine with 8 × H100"), (64, "are 8 machines of 8: "), (1020, "1,020 × H100 SXM5 80GB are 128 machines")],
)
def test_more_gpus_than_a_machine_has_are_several_machines(saved: str, gpus: int, said: str) -> None:
    words = " ".join(text(of(saved, gpus=gpus, batch=4)).split())
    assert said in words
    assert "should bear 10.1 kW (34,393 BTU/h), " + ("power" if gpus == 8 else "of all") in words


def test_the_plainest_form_of_those_as_fast_is_taken_and_said(saved: str) -> None:
    answer = of(saved, scaling="8..8", batch=8).answer
    assert isinstance(answer, ScalingPlan)
    assert answer.curves[0].weak[0].form == Parallel(data=8)
    assert any("of forms within 3 % of the fastest, the plainest" in line for line in answer.assumptions)
    found = Search(
        small=decoder(batch=2), large=decoder(batch=4), spec=LINKED, setting=Setting(), shares=load_shares()
    ).best(8, 64)
    assert found[0].form == Parallel(data=8)
    assert found[1].shared.seconds < found[0].shared.seconds
    reason = _reason(found)
    assert reason.startswith(f"the plainest of {len(found)} forms that fit, within 3 % of the fastest: data 8, ")
    assert reason.endswith("% less")


def test_a_slower_network_is_not_faster(saved: str) -> None:
    def seconds(gbits: float) -> float:
        answer = of(saved, gpus=32, batch=4, network_gbits=gbits).answer
        assert isinstance(answer, Plan)
        return answer.estimates[0].step_seconds

    assert seconds(10.0) > seconds(400.0)


def test_the_trace_is_what_it_was_saved_as() -> None:
    trace: Trace = decoder()
    assert trace.workload.gpus == 1
    assert trace.workload.parallel == Parallel()


def test_a_decode_step_is_told_in_tokens_with_the_host_and_without(tmp_path: Path) -> None:
    trace = decoder(batch=8, task="infer")
    path = tmp_path / "decode.json"
    path.write_text(to_json(replace(trace, workload=replace(trace.workload, generation="decode"))), encoding="utf-8")
    report = of(str(path), task="infer", generation="decode", gpus=2, tensor=2)
    answer = report.answer
    assert isinstance(answer, Plan)
    assert tokens_per_second(answer.workload, 100.0) == 100.0
    assert tokens_per_second(replace(answer.workload, generation="prefill"), 100.0) == 100.0 * LENGTH
    said = " ".join(text(report).split())
    assert "tokens/s over 8 streams" in said
    assert "CUDA graph" in said


def test_what_waits_for_the_host_is_not_said_to_wait_for_memory_or_the_network(saved: str) -> None:
    alone, shared = of(saved, batch=4).answer, of(saved, batch=4, gpus=4096).answer
    scaled = of(saved, batch=4, scaling="1..1").answer
    assert isinstance(alone, Plan)
    assert isinstance(shared, Plan)
    assert isinstance(scaled, ScalingPlan)
    bounds = [alone.estimates[0].bound_by, shared.estimates[0].bound_by, scaled.curves[0].strong[0].limited_by]
    assert bounds == ["launch"] * 3


def test_the_curves_are_a_page_too(saved: str, tmp_path: Path) -> None:
    page = tmp_path / "curves.html"
    report = plan(PlanConfig(model=saved, gpu=(H100,), scaling="1..4", batch=8), page=page)
    assert isinstance(report.answer, ScalingPlan)
    written = page.read_text(encoding="utf-8")
    assert written.count("<svg") == 2
    assert all(f"{point.gpus} GPUs: " in written for point in report.answer.curves[0].weak)
    assert any(str(page) in note for note in report.notes)


def test_no_line_of_the_tables_is_wider_than_a_page(saved: str) -> None:
    report = of(saved, scaling="1..1024", batch=8)
    assert max(len(line) for table in report.tables for line in table_text(table).splitlines()) <= 100
