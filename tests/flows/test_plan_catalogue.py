"""Any model on the GPUs of the catalogue: the contract, the ranking, the limits, the ways out."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from rooflight.catalogue.load import catalogue
from rooflight.core.codec import from_json, to_json
from rooflight.core.errors import ConfigError, SpecError
from rooflight.core.plans import Compared, Plan, PlanConfig
from rooflight.core.tables import Report, display_width, table_text, text
from rooflight.flows import plan_here
from rooflight.flows.plan import plan
from rooflight.flows.plan_catalogue import ranked
from rooflight.flows.plan_compare import plan_compare
from rooflight.flows.report import report
from tests.flows.conftest import ROOF

CONTRACT = {  # the keys of an estimate that programs read
    *("gpu", "fits", "peak_bytes", "step_seconds", "samples_per_second", "low", "high", "bound_by", "mfu", "watts"),
    *("joules_per_sample", "usd_per_million_samples", "max_batch"),
}


@pytest.fixture(autouse=True)
def roof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round figures in place of a measurement."""
    monkeypatch.setattr(plan_here, "find_roof", lambda *arguments, **options: ROOF)


@pytest.fixture(scope="module")
def whole() -> Report:
    """The CNN on everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_here, "find_roof", lambda *arguments, **options: ROOF)
        return plan(PlanConfig(batch=256))


def answer(report: Report) -> Plan:
    assert isinstance(report.answer, Plan)
    return report.answer


def of(*names: str, **more: object) -> Report:
    return plan(PlanConfig(gpu=names, **more))  # type: ignore[arg-type]


def test_the_answer_has_the_keys_of_the_contract(whole: Report) -> None:
    document = json.loads(to_json(whole.answer))
    assert set(document) >= {"workload", "trace", "estimates", "roof"}
    assert set(document["trace"]) >= {"flops", "parameters", "parameter_bytes"}
    assert set(document["estimates"][0]) >= CONTRACT
    assert from_json(Plan, to_json(whole.answer)) == whole.answer


def test_every_entry_is_estimated_or_left_out_with_a_reason(whole: Report) -> None:
    found = answer(whole)
    named = {row.gpu for row in found.estimates}
    without = {name for each in found.left_out for name in each.gpus}
    assert not named & without
    assert named | without == {spec.name for spec in catalogue()} | {ROOF.name}
    assert ("no bfloat16", "T4") in [(each.reason, name) for each in found.left_out for name in each.gpus]


def test_this_machine_stands_among_them(whole: Report) -> None:
    assert answer(whole).roof == ROOF
    assert [row.gpu for row in answer(whole).estimates].count(ROOF.name) == 1


def test_the_range_holds_the_value_and_what_is_known_is_positive(whole: Report) -> None:
    for row in answer(whole).estimates:
        assert row.low <= row.samples_per_second <= row.high
        for name in ("watts", "joules_per_sample", "usd_per_million_samples", "usd_per_hour", "mfu"):
            value = getattr(row, name)
            assert value is None or value > 0, (row.gpu, name)


def test_the_table_fits_a_terminal_and_says_the_assumptions_once(whole: Report) -> None:
    (table,) = whole.tables
    assert len(table.rows) == 15
    assert max(display_width(line) for line in table_text(table).splitlines()) <= 100
    assumed = [line for line in text(whole).splitlines() if line.startswith("assumed: ")]
    assert len(assumed) == len(set(assumed))
    assert any(line.startswith("assumed: power is idle draw") for line in assumed)


def test_the_goal_orders_those_that_fit(whole: Report) -> None:
    rows = answer(whole).estimates
    rates = [row.samples_per_second for row in rows if row.fits]
    assert rates == sorted(rates, reverse=True)
    cheap = [row.usd_per_million_samples for row in ranked(rows, "cheapest") if row.fits]
    known = [value for value in cheap if value is not None]
    assert cheap == sorted(known) + [None] * (len(cheap) - len(known))
    green = [
        row.joules_per_sample for row in ranked(rows, "greenest") if row.fits and row.joules_per_sample is not None
    ]
    assert green == sorted(green)


def test_named_gpus_alone_are_planned_for() -> None:
    report = of("h100 sxm", "RTX 4090", batch=64)
    assert {row.gpu for row in answer(report).estimates} == {"H100 SXM5 80GB", "GeForce RTX 4090"}
    assert answer(report).roof is None


def test_here_is_this_machine_beside_those_named() -> None:
    found = answer(of("here", "T4", dtype="float32"))
    assert {row.gpu for row in found.estimates} == {ROOF.name, "T4"}
    assert answer(of("here", dtype="float32")).roof == ROOF


def test_the_dtype_is_one_that_all_named_gpus_have() -> None:
    assert answer(of("A100 SXM4 80GB")).workload.dtype == "bfloat16"
    assert answer(of("A100 SXM4 80GB", "T4")).workload.dtype == "float16"
    with pytest.raises(SpecError, match=r"T4 does not compute in bfloat16; it does in float16, float32"):
        of("T4", dtype="bfloat16")


@pytest.mark.parametrize(
    ("limit", "holds"),
    [
        ({"max_watts": 150.0}, lambda spec: spec.tdp_watts is not None and spec.tdp_watts <= 150),
        ({"min_memory_gib": 100.0}, lambda spec: spec.memory_bytes >= 100 * 2**30),
        ({"max_price_usd": 700.0}, lambda spec: spec.launch_usd is not None and spec.launch_usd <= 700),
        ({"form_factor": "sxm5"}, lambda spec: spec.form_factor == "SXM5"),
        ({"vendor": "amd"}, lambda spec: spec.vendor == "amd"),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_a_limit_leaves_what_meets_it(limit: dict[str, object], holds: object) -> None:
    found = answer(plan(PlanConfig(**limit)))  # type: ignore[arg-type]
    wanted = {spec.name for spec in catalogue() if holds(spec) and "bfloat16" in spec.flops_per_second}  # type: ignore[operator]
    assert {row.gpu for row in found.estimates} == wanted != set()


def test_a_limit_of_dollars_leaves_what_is_known_to_cost_less() -> None:
    found = answer(plan(PlanConfig(max_usd_per_hour=0.5)))
    assert found.estimates
    assert all(row.usd_per_hour is not None and row.usd_per_hour <= 0.5 for row in found.estimates)
    assert any("over 0.5 USD/h" in each.reason for each in found.left_out)


def test_no_gpu_left_is_a_clear_no() -> None:
    report = plan(PlanConfig(min_memory_gib=9999))
    assert report.exit_code == 1
    assert "No GPU of the catalogue is left under --min-memory-gib 9999. Try a wider limit" in text(report)


def test_no_gpu_costs_nothing_and_the_cheapest_is_told() -> None:
    report = plan(PlanConfig(max_usd_per_hour=0))
    assert report.exit_code == 1
    assert "left under --max-usd-per-hour 0. Try a wider limit, or none." in text(report)
    assert re.search(r"over 0 USD/h \(the cheapest is 0\.\d\d\), or not known", text(report))


def test_a_step_that_does_not_fit_names_a_batch_that_does() -> None:
    report = of("T4", batch=2**17, dtype="float16")
    assert report.exit_code == 1
    (row,) = answer(report).estimates
    assert not row.fits
    assert row.max_batch is not None
    assert f"Try --batch {row.max_batch} on T4" in text(report)
    assert of("T4", batch=row.max_batch, dtype="float16").exit_code == 0
    assert "a larger GPU: " in text(report)


def test_the_top_choices_are_explained_by_their_operators() -> None:
    report = of("A100 SXM4 80GB", batch=2**17)
    said = text(report)
    assert f"A100 SXM4 80GB: {answer(report).estimates[0].bound_by}-bound: " in said
    assert "By operator: " in said
    assert "convolution" in said
    assert "BTU/h" in said
    launch = text(of("A100 SXM4 80GB", batch=8))
    assert "launch-bound: the host takes" in launch


def test_two_gpus_draw_and_cost_twice_as_much_an_hour_and_share_the_work() -> None:
    one, two = (answer(of("A100 SXM4 80GB", batch=4096, gpus=gpus)) for gpus in (1, 2))
    assert two.workload.gpus == 2
    first, second = one.estimates[0], two.estimates[0]
    assert first.samples_per_second < second.samples_per_second <= 2 * first.samples_per_second
    assert second.usd_per_hour == first.usd_per_hour
    assert second.usd_per_million_samples is not None
    assert first.usd_per_million_samples is not None
    assert second.usd_per_million_samples >= first.usd_per_million_samples * (1 - 1e-9)


def test_what_this_machine_cannot_say_is_said() -> None:
    with pytest.raises(ConfigError, match=r"--compile is not measured here"):
        of("here", compile=True)
    left = answer(plan(PlanConfig(compile=True))).left_out
    assert ("this machine",) in [each.gpus for each in left]


def test_without_measuring_or_a_calibration_this_machine_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = answer(plan(PlanConfig(measure=False)))
    assert found.roof is None
    assert ("this machine",) in [each.gpus for each in found.left_out]
    with pytest.raises(ConfigError, match="may not be measured"):
        of("here", measure=False)


def test_the_verdict_names_the_cheaper_one_first_and_no_class_that_is_even() -> None:
    report = plan_compare(PlanConfig(batch=64), ("H100 SXM", "RTX 4090"))
    assert isinstance(report.answer, Compared)
    dear, cheap = (row.usd_per_million_samples for row in report.answer.estimates)
    assert dear is not None
    assert cheap is not None
    assert cheap < dear
    said = " ".join(text(report).split())
    assert f"GeForce RTX 4090 is cheaper by the sample: {cheap:.2g} against {dear:.2g} USD" in said
    at = 0 if "RTX 4090 is faster at" in said else 1
    for name in said.partition("is faster at: ")[2].partition(".")[0].split(", "):
        for row in report.answer.classes:
            if row.name == name:
                assert row.seconds[at] > 1.02 * row.seconds[1 - at]


def test_two_cards_side_by_side_by_class() -> None:
    report = plan_compare(PlanConfig(batch=8192), ("RTX 3090", "A100 SXM4 80GB"))
    found = report.answer
    assert isinstance(found, Compared)
    assert from_json(Compared, to_json(found)) == found
    assert [row.gpu for row in found.estimates] == ["GeForce RTX 3090", "A100 SXM4 80GB"]
    for at in (0, 1):
        assert sum(row.shares[at] for row in found.classes) == pytest.approx(1.0)
    assert {"convolution", "ReLU", "pooling", "optimizer"} <= {row.name for row in found.classes}
    assert "A100 SXM4 80GB is" in text(report)
    with pytest.raises(ConfigError, match="two different GPUs"):
        plan_compare(PlanConfig(), ("T4", "T4"))


def test_a_size_of_images_is_none_of_texts() -> None:
    with pytest.raises(ConfigError, match=r"cnn takes samples of \(1, 28, 28\), images: try --image-size"):
        of("T4", seq_len=128)
    assert answer(of("T4", image_size=32)).workload.input_shape == (1, 32, 32)


def test_every_setting_has_a_help_text() -> None:
    assert all(field.metadata["help"] for field in fields(PlanConfig))


def test_a_plan_is_also_a_page_and_a_saved_one_gives_the_same_pictures(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    told = plan(PlanConfig(batch=256), page=page)
    assert str(page) in told.notes[-1]
    saved = tmp_path / "saved.json"
    saved.write_text(to_json(told.answer))
    report(saved)
    pages = [page.read_text(), (tmp_path / "saved.html").read_text()]
    pictures = [re.findall(r"<svg.*?</svg>", each, flags=re.DOTALL) for each in pages]
    assert len(pictures[0]) >= 3
    assert pictures[0] == pictures[1]
    assert "this machine" in pages[0]
    assert ("--top" in " ".join(told.notes), "--top" in pages[0]) == (True, False)


def test_a_page_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        plan(PlanConfig(), page=tmp_path / "none" / "plan.html")


def test_a_whole_run_has_time_energy_and_price() -> None:
    told = of("H100 SXM5 80GB", batch=256, samples=1_000_000)
    row = answer(told).estimates[0]
    assert row.run_seconds == pytest.approx(1e6 / row.samples_per_second)
    assert row.run_usd == row.usd_per_million_samples
    assert told.tables[0].columns[-2:] == ("run", "$ run")
    assert any(note.startswith("The whole run of 1.00 M samples takes") for note in told.notes)


@pytest.mark.parametrize(
    ("key", "said"), [("curves", "what --scaling found"), ("classes", "comparison"), ("ops", "a trace")]
)
def test_what_else_a_plan_prints_is_no_page_and_is_named(key: str, said: str, tmp_path: Path) -> None:
    saved = tmp_path / "other.json"
    saved.write_text(f'{{"workload": {{}}, "{key}": []}}')
    with pytest.raises(ConfigError, match=said):
        report(saved)


# ---------------------------------------------------------------- what feeds the GPUs


def test_cores_that_decode_too_little_limit_the_plan_and_it_says_how_many_would_do() -> None:
    report = of("A100 SXM4 80GB", model="resnet50", batch=64, cores=2, decode_rate=100.0)
    (row,) = answer(report).estimates
    assert (row.bound_by, row.samples_per_second) == ("input", pytest.approx(200))
    assert row.fed is not None
    needed = -(-row.fed.gpu_samples_per_second // 100)
    (said,) = (note for note in report.notes if "bound by its input" in note)
    assert "2 cores decode 200 samples/s" in said
    assert f": {needed:.0f} would keep up" in said
    assert from_json(Plan, to_json(report.answer)) == report.answer


def test_a_loader_that_keeps_up_changes_nothing_but_augmentation_on_the_device() -> None:
    free, kept = (answer(of("A100 SXM4 80GB", batch=64, input_rate=rate)).estimates[0] for rate in (None, 1e7))
    assert free.fed is None
    assert kept.bound_by == free.bound_by
    assert free.step_seconds <= kept.step_seconds < 1.01 * free.step_seconds


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"input_rate": 0.0}, "--input-rate 0: it must be more than 0"),
        ({"input_rate": 100.0, "cores": 4}, "not both"),
        ({"decode_rate": 100.0}, "add --cores"),
        ({"model": "lstm", "cores": 4}, "how fast a core makes samples"),
    ],
)
def test_input_flags_that_say_too_little_or_too_much_are_refused(more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of("A100 SXM4 80GB", **more)
