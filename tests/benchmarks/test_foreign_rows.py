"""A file of other sources, cards and models: mapped by general rules, and what cannot be is counted with its reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.accuracy.cases import NotPredictedError, case
from benchmarks.accuracy.outcomes import outcomes
from benchmarks.accuracy.predict import gpu_spec
from benchmarks.accuracy.rows import Row, read_rows
from benchmarks.accuracy.traces import Traces

from rooflight.estimate.shares import load_shares

pytest.importorskip("timm")
pytest.importorskip("transformers")

FILE = Path(__file__).with_name("foreign.csv")
REASONS = {
    "quality": "metric quality",
    "Voodoo 5": "not in the catalogue",
    "mystery-net": "no builder for mystery-net",
    "posit16": "precision posit16",
    "no value": "no measured value",
    "no batch": "no batch",
}
CHEAP = ("ResNet-18", "matmul", "NCF")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows(FILE)


def test_every_row_that_can_be_named_is_mapped_with_its_card(rows: list[Row]) -> None:
    mapped = 0
    for row in rows:
        if any(word in (row.metric, row.gpu, row.model, row.precision, row.notes) for word in REASONS) or not row.model:
            continue
        assert case(row).recipe.model, row
        assert gpu_spec(row.gpu).memory_bytes > 0
        mapped += 1
    assert mapped == 24


def test_a_library_is_found_by_how_a_name_sounds(rows: list[Row]) -> None:
    by_model = {row.model: row for row in rows if row.source == "someone/else"}
    expected = {
        "Inception v3": "torchvision:inception_v3",
        "timm/convnext_tiny.fb_in1k": "timm:convnext_tiny",
        "meta-llama/Llama-3.1-8B-Instruct": "decode:meta-llama/Llama-3.1-8B",
        "bert-large-uncased": "hf:google-bert/bert-large-uncased",
    }
    for model, name in expected.items():
        assert case(by_model[model]).recipe.model == name


def test_what_cannot_be_predicted_has_a_reason_and_the_rest_goes_on(rows: list[Row], tmp_path: Path) -> None:
    some = [
        row
        for row in rows
        if row.model in CHEAP or any(word in (row.gpu, row.model, row.precision, row.notes) for word in REASONS)
    ]
    found = outcomes([*some, rows[-1]], Traces(tmp_path), load_shares())
    done = [one for one in found if one.predicted is not None]
    assert {one.model for one in done} == set(CHEAP)
    assert all(one.predicted > 0 for one in done if one.predicted is not None)
    said = " ".join(one.reason or "" for one in found)
    for word, reason in REASONS.items():
        if word != "quality":
            assert reason in said


@pytest.mark.slow
def test_all_of_the_file_is_predicted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.accuracy", str(FILE), "--json", "--cache", str(tmp_path), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    overall = json.loads(done.stdout)["overall"]
    assert overall["predicted"] >= 24
    assert overall["rows"] - overall["predicted"] == sum(overall["reasons"].values())


def test_a_metric_without_a_rule_gives_a_reason(rows: list[Row], tmp_path: Path) -> None:
    from benchmarks.accuracy.metrics import to_metric

    with pytest.raises(NotPredictedError, match="metric quality is not predicted"):
        to_metric(case(next(row for row in rows if row.metric == "quality")), 1.0)
