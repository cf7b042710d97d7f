"""The four scenarios of our own loop, on a clock that the runner winds."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rooflight.bench.scenarios import Scenario, ScenarioTask, percentile, run_fallback
from rooflight.core.benches import ScenarioResult


class Wound:
    """A runner whose calls take as long as it says, on a clock that moves only then and in sleep."""

    def __init__(self, call_seconds: float = 0.01, sample_seconds: float = 0.0) -> None:
        self.now = 100.0
        self.call_seconds, self.sample_seconds = call_seconds, sample_seconds
        self.batches: list[int] = []
        self.indices: list[int] = []

    def run(self, indices: Sequence[int]) -> Tensor:
        self.batches.append(len(indices))
        self.indices += indices
        self.now += self.call_seconds + self.sample_seconds * len(indices)
        return torch.zeros(len(indices), 1)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def test(self, task: ScenarioTask, seed: int = 0) -> ScenarioResult:
        return run_fallback(task, self.run, seed=seed, clock=lambda: self.now, sleep=self.sleep)


def task(scenario: Scenario, **changes: float) -> ScenarioTask:
    base = ScenarioTask(
        scenario=scenario,
        seconds=1.0,
        samples=16,
        largest_batch=4,
        latency_seconds=0.01,
        samples_per_second=50.0,
        target_latency_seconds=0.05,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_single_stream_asks_one_after_the_other_for_the_time_and_at_least_64_times() -> None:
    wound = Wound(0.01)
    found = wound.test(task("SingleStream"))
    assert set(wound.batches) == {1}
    assert len(wound.batches) in (100, 101)  # 1 s of 10 ms; sums of 0.01 may fall short of 1
    assert found.valid
    assert (found.p50_seconds, found.p99_seconds) == pytest.approx((0.01, 0.01))
    assert found.samples_per_second == pytest.approx(100)
    slow = Wound(0.1)
    assert slow.test(task("SingleStream")).seconds == pytest.approx(6.4)
    assert len(slow.batches) == 64


def test_multi_stream_asks_eight_at_a_time() -> None:
    wound = Wound(0.01)
    found = wound.test(task("MultiStream"))
    assert wound.batches == [8] * 662
    assert found.samples_per_second == pytest.approx(800)
    assert found.p99_seconds == pytest.approx(0.01)


def test_offline_is_one_query_in_batches() -> None:
    """50 samples/s for 1 s, and a tenth more: 55 samples in 13 batches of four and one of three."""
    wound = Wound(0.1)
    found = wound.test(task("Offline"))
    assert wound.batches == [4] * 13 + [3]
    assert (found.samples_per_query, found.valid) == (55, True)
    assert found.samples_per_second == pytest.approx(55 / 1.4)
    assert found.p50_seconds == pytest.approx(0.7)  # the 28th sample is in the seventh batch


def test_offline_faster_than_expected_is_not_valid() -> None:
    found = Wound(0.01).test(task("Offline"))
    assert not found.valid
    assert "the least is 1 s" in found.reasons[0]


def test_server_below_its_capacity_keeps_the_target() -> None:
    wound = Wound(0.005)
    found = wound.test(task("Server"))
    assert found.valid
    assert sum(wound.batches) == 700
    assert found.samples_per_second == pytest.approx(50, rel=0.1)  # 700 arrivals: their mean is 4 % off by chance
    assert found.p50_seconds is not None
    assert 0.00499 < found.p50_seconds < 0.01


def test_server_above_its_capacity_batches_what_waits_and_is_not_valid() -> None:
    """At most four in 0.1 s is 40 samples/s; 50 arrive."""
    wound = Wound(0.1)
    found = wound.test(task("Server"))
    assert max(wound.batches) == 4
    assert not found.valid
    assert "later than the target" in found.reasons[0]
    assert found.samples_per_second == pytest.approx(40, rel=0.02)


def test_arrivals_and_samples_follow_from_the_seed() -> None:
    first, again, other = Wound(), Wound(), Wound()
    assert first.test(task("Server")) == again.test(task("Server")) != other.test(task("Server"), seed=1)
    assert first.indices == again.indices != other.indices
    assert set(first.indices) == set(range(16))


def test_percentiles_by_hand() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 0.5), percentile(values, 0.9), percentile(values, 0.99)) == (50, 90, 99)
    assert percentile([3.0], 0.99) == 3.0
