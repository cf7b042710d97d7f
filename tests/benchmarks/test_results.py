"""Committed results of `bench frameworks` and benchmarks/mlperf.py still read, and say what they claim."""

from pathlib import Path

import pytest
from benchmarks.conformance import CASES, Conformance
from benchmarks.loader import LoaderComparison, summarise
from benchmarks.mlperf import Runtimes

from rooflight.bench.scenarios import SCENARIOS
from rooflight.core.benches import FrameworkComparison
from rooflight.core.codec import read_json
from rooflight.flows.frameworks import summarise_runs

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("mlperf-*.json")), ids=lambda path: path.name)
def test_all_four_scenarios_are_valid_by_loadgens_own_word(path: Path) -> None:
    for found in read_json(Runtimes, path).runtimes:
        assert found.title == "MLPerf-style (LoadGen), unverified"
        assert found.not_run == ()
        assert tuple(result.scenario for result in found.results) == SCENARIOS
        for result in found.results:
            assert result.valid
            assert "Result is : VALID" in result.summary


@pytest.mark.parametrize("path", sorted(RESULTS.glob("frameworks-*.json")), ids=lambda path: path.name)
def test_the_rows_of_a_comparison_follow_from_its_runs(path: Path) -> None:
    found = read_json(FrameworkComparison, path)
    assert found.rows == summarise_runs(found.runs)
    for model in {row.model for row in found.rows}:
        counts = {row.parameters for row in found.rows if row.model == model}
        assert max(counts) - min(counts) in (0, 512)  # PyTorch's LSTM has two biases for each gate


@pytest.mark.parametrize("path", sorted(RESULTS.glob("loader-*.json")), ids=lambda path: path.name)
def test_the_rows_of_a_loader_follow_from_its_turns(path: Path) -> None:
    found = read_json(LoaderComparison, path)
    assert found.rows == summarise(found.turns, found.decoder)
    assert found.decoder in {row.variant for row in found.rows}
    assert {stage.stage for stage in found.stages} == {"read", "decode", "augment"}


@pytest.mark.parametrize("path", sorted(RESULTS.glob("conformance-*.json")), ids=lambda path: path.name)
def test_each_operation_is_within_two_levels_of_torchvision(path: Path) -> None:
    found = read_json(Conformance, path).differences
    assert tuple(row.operation for row in found) == tuple(CASES)
    for row in found[:-1]:  # the last is the whole chain, in which colours amplify a level
        assert row.largest <= 2
        assert row.share_above_1 < 1e-3
    assert found[-1].share_above_2 < 1e-3
