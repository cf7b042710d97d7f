"""Medians and ratios by hand, and every committed result still reads."""

from pathlib import Path

import pytest
from benchmarks.generation import WRITERS, Generation
from benchmarks.generation import summarise as summarise_turns
from benchmarks.record import Comparison, Run, summarise
from benchmarks.table import BLOCK, README, speed_block

from rooflight.core.codec import from_json

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def run(variant: str, number: int, rate: float) -> Run:
    return Run(
        variant=variant,
        batch=32,
        round=number,
        samples_per_second=rate,
        whole_samples_per_second=rate / 2,
        first_step_seconds=1.0 + number,
        peak_bytes=100,
        parameters=93_322,
        test_accuracy=0.8,
        versions={},
    )


def test_ratios_are_taken_round_by_round() -> None:
    """The machine halves its speed in the second round: the ratio does not see it."""
    runs = [run("rooflight", 0, 300), run("peer", 0, 200), run("rooflight", 1, 150), run("peer", 1, 100)]
    first, second = summarise(runs)
    assert (first.variant, first.rooflight_ratio, first.samples_per_second) == ("rooflight", 1.0, 225)
    assert (second.variant, second.rooflight_ratio, second.rooflight_ratio_low) == ("peer", 1.5, 1.5)
    assert (second.samples_per_second_low, second.samples_per_second_high) == (125, 175)
    assert second.whole_samples_per_second == 75
    assert second.first_step_seconds == 1.5


def test_a_round_without_the_reference_is_refused() -> None:
    with pytest.raises(KeyError):
        summarise([run("rooflight", 0, 300), run("peer", 1, 200)])


@pytest.mark.parametrize(
    "path", sorted([*RESULTS.glob("cnn-2*.json"), *RESULTS.glob("cnn-leaders-*.json")]), ids=lambda path: path.name
)
def test_a_committed_result_reads_and_its_rows_follow_from_its_runs(path: Path) -> None:
    result = from_json(Comparison, path.read_text())
    assert result.rows == summarise(result.runs)
    assert {each.parameters for each in result.runs} == {93_322}


def test_the_readmes_table_is_made_from_the_newest_result() -> None:
    newest = max(RESULTS.glob("cnn-2*.json"))
    found = BLOCK.search(README.read_text())
    assert found is not None
    assert found.group() == speed_block(from_json(Comparison, newest.read_text()), newest.name)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("lstm-*.json")), ids=lambda path: path.name)
def test_a_result_of_the_lstm_reads_and_all_trained_the_same_network(path: Path) -> None:
    result = from_json(Comparison, path.read_text())
    assert result.rows == summarise(result.runs)
    assert {each.parameters for each in result.runs} == {389_096, 388_584}  # PyTorch keeps two biases in a gate
    assert all(0.15 < each.test_accuracy < 0.25 for each in result.runs)  # all learned alike in so few steps


@pytest.mark.parametrize("path", sorted(RESULTS.glob("generation-*.json")), ids=lambda path: path.name)
def test_every_writer_of_a_stored_result_wrote_the_same_tokens(path: Path) -> None:
    result = from_json(Generation, path.read_text())
    assert result.rows == summarise_turns(result.turns)
    assert {row.same_tokens for row in result.rows} == {True, None}
    assert sum(row.same_tokens is True for row in result.rows) == 2 * sum(writer.same for writer in WRITERS)
