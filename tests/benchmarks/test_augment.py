"""The stored comparison of augmenters is what its turns make."""

from pathlib import Path

from benchmarks.augment import REFERENCE, VARIANTS, Comparison, Turn, summarise, tables

from rooflight.core.codec import from_json

RESULT = Path(__file__).parents[2] / "benchmarks/results/augment-2026-11-24.json"


def test_a_ratio_is_taken_within_a_round() -> None:
    rates = {(REFERENCE, 0): 100.0, (REFERENCE, 1): 50.0, ("kornia", 0): 10.0, ("kornia", 1): 10.0}
    turns = [
        Turn(variant=name, threads=1, round=number, images_per_second=rate) for (name, number), rate in rates.items()
    ]
    first, second = summarise(turns)
    assert (first.variant, first.images_per_second, first.rooflight_ratio) == (REFERENCE, 75.0, 1.0)
    assert (second.rooflight_ratio_low, second.rooflight_ratio, second.rooflight_ratio_high) == (6.25, 7.5, 8.75)


def test_the_stored_rows_are_those_of_its_turns() -> None:
    result = from_json(Comparison, RESULT.read_text())
    assert result.rows == summarise(result.turns)
    assert {row.variant for row in result.rows} == set(VARIANTS)
    assert not result.failures
    assert [table.title for table in tables(result.rows)] == ["1 core", "2 cores"]
