"""LoadGen's summaries as they were recorded, and the system under test without LoadGen."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rooflight.bench.loadgen import QueuedSystem, loadgen_settings
from rooflight.bench.loadgen_summary import read_summary, reasons
from rooflight.bench.scenarios import Scenario, ScenarioTask
from rooflight.core.benches import ScenarioResult
from rooflight.core.errors import BackendError

RECORDED = Path(__file__).parent / "recorded"  # LoadGen 6.0.17 on a system that takes 2 ms a batch


def task(scenario: Scenario) -> ScenarioTask:
    return ScenarioTask(
        scenario=scenario,
        seconds=2.0,
        samples=64,
        largest_batch=32,
        latency_seconds=0.002,
        samples_per_second=200.0,
        target_latency_seconds=0.015,
    )


def read(name: str, scenario: Scenario) -> ScenarioResult:
    return read_summary((RECORDED / name).read_text(), task(scenario), 2.5)


def test_single_stream() -> None:
    found = read("single-stream-valid.txt", "SingleStream")
    assert (found.valid, found.reasons, found.samples_per_second) == (True, (), 458.13)
    assert (found.p50_seconds, found.p90_seconds, found.p99_seconds) == pytest.approx(
        (2.099673e-3, 2.128115e-3, 5.193538e-3)
    )
    assert (found.samples_per_query, found.target_latency_seconds, found.seconds) == (1, None, 2.5)


def test_a_figure_with_a_negative_exponent_is_read() -> None:
    said = (RECORDED / "single-stream-valid.txt").read_text().replace("458.13", "4.5813e-05")
    assert read_summary(said, task("SingleStream"), 2.5).samples_per_second == pytest.approx(4.5813e-05)


def test_multi_stream_has_no_rate_of_its_own() -> None:
    found = read("multi-stream-valid.txt", "MultiStream")
    assert found.valid
    assert found.samples_per_second == pytest.approx(8 / 2.152168e-3)
    assert (found.samples_per_query, found.p99_seconds) == (8, pytest.approx(3.438777e-3))


def test_offline_that_was_faster_than_expected() -> None:
    found = read("offline-invalid.txt", "Offline")
    assert (found.valid, found.samples_per_second, found.samples_per_query) == (False, 14547.4, 2200)
    assert found.reasons == (
        "Min duration satisfied: NO",
        "Increase expected QPS so the loadgen pre-generates a larger (coalesced) query.",
    )


def test_server_counts_what_it_completed() -> None:
    assert (read("server-valid.txt", "Server").valid, read("server-valid.txt", "Server").samples_per_second) == (
        True,
        99.33,
    )
    found = read("server-invalid.txt", "Server")
    assert (found.valid, found.samples_per_second, found.target_latency_seconds) == (False, 297.39, 0.015)
    assert found.reasons == (
        "Performance constraints satisfied: NO",
        "Early stopping satisfied: NO",
        "Reduce target QPS to improve latency.",
        "Would need to run at least 41952 more queries",
    )


def test_a_valid_summary_has_no_reasons_and_half_a_summary_is_refused() -> None:
    assert reasons((RECORDED / "server-valid.txt").read_text()) == ()
    with pytest.raises(BackendError, match="names no result"):
        read_summary("MLPerf Results Summary\n", task("Server"), 1.0)


@dataclass
class Sample:
    id: int
    index: int


def scores(indices: Sequence[int]) -> Tensor:
    return torch.tensor([[float(index)] for index in indices])


def test_queries_that_wait_are_answered_together_up_to_the_largest_batch_each_once() -> None:
    """The first batch is held back until 7 more queries wait: they go out as 3, 3 and 1."""
    all_issued, started = threading.Event(), threading.Event()
    batches: list[int] = []
    answers: dict[int, float] = {}

    def run(indices: Sequence[int]) -> Tensor:
        started.set()
        all_issued.wait(5)
        batches.append(len(indices))
        return scores(indices)

    def complete(ids: Sequence[int], found: Tensor) -> None:
        for number, row in zip(ids, found, strict=True):
            assert number not in answers
            answers[number] = float(row)

    system = QueuedSystem(run, complete, 3, pytest.fail)
    system.issue([Sample(100, 0)])
    assert started.wait(5)
    system.issue([Sample(101, 1), Sample(102, 2)])
    system.issue([Sample(100 + number, number) for number in range(3, 8)])
    all_issued.set()
    system.close()
    assert batches == [1, 3, 3, 1]
    assert answers == {100 + number: float(number) for number in range(8)}


def test_issue_returns_at_once_and_close_answers_what_is_left() -> None:
    answered: list[int] = []

    def run(indices: Sequence[int]) -> Tensor:
        time.sleep(0.02)
        return scores(indices)

    system = QueuedSystem(run, lambda ids, found: answered.extend(ids), 1, pytest.fail)
    begin = time.perf_counter()
    system.issue([Sample(number, 0) for number in range(10)])
    assert time.perf_counter() - begin < 0.1  # ten batches take 0.2 s
    system.close()
    assert answered == list(range(10))


def test_a_runner_that_fails_is_told_and_does_not_hang() -> None:
    errors: list[BaseException] = []

    def run(indices: Sequence[int]) -> Tensor:
        raise RuntimeError("out of memory")

    system = QueuedSystem(run, lambda ids, found: None, 1, errors.append)
    system.issue([Sample(0, 0)])
    system.close()
    assert [str(error) for error in errors] == ["out of memory"]


def test_settings_are_in_loadgens_units() -> None:
    lg = pytest.importorskip("mlperf_loadgen")
    server = loadgen_settings(lg, task("Server"))
    assert (server.min_duration_ms, server.min_query_count) == (2000, 700)
    assert (server.server_target_qps, server.server_target_latency_ns) == (200.0, 15_000_000)
    assert loadgen_settings(lg, task("SingleStream")).single_stream_expected_latency_ns == 2_000_000
    streams = loadgen_settings(lg, task("MultiStream"))
    assert (streams.multi_stream_samples_per_query, streams.min_query_count) == (8, 662)
    assert loadgen_settings(lg, task("Offline")).offline_expected_qps == 200.0
