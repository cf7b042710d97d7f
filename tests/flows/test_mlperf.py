"""`bench mlperf`: which model in which runtime, what is expected of it, the Server's search, and LoadGen for real."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rooflight.bench.scenarios import SCENARIOS, ScenarioTask
from rooflight.core.benches import ScenarioResult, ServingBenchmark
from rooflight.core.codec import from_json, read_json, to_json
from rooflight.core.console import Silent
from rooflight.core.errors import ConfigError
from rooflight.core.runs import TrainResult
from rooflight.core.tables import text
from rooflight.flows import mlperf as flow
from rooflight.flows.mlperf import Bench, first_task, mlperf
from rooflight.flows.serving import Job, Probe, Source, exported, find_source, open_source, takes_images, work


def bench(loadgen: bool = True) -> Bench:
    """1, 8, 32 samples take 2, 4, 20 ms: 500, 2,000, 1,600 samples/s."""
    probe = Probe(runtime="a runtime", samples=64, batch_seconds={"1": 0.002, "8": 0.004, "32": 0.02})
    return Bench(
        source=Source(kind="model", name="cnn"),
        probe=probe,
        device="cpu",
        threads=1,
        seconds=2.0,
        loadgen=loadgen,
        target_latency_seconds=0.015,
        console=Silent(),
    )


def test_expectations_err_on_the_side_that_prepares_more_queries() -> None:
    probe = bench().probe
    assert (probe.best_batch, probe.rate(8), probe.batches) == (8, 2000, (1, 8, 32))
    single, streams = first_task(bench(), "SingleStream"), first_task(bench(), "MultiStream")
    assert single.latency_seconds < 0.002
    assert streams.latency_seconds < 0.004
    assert first_task(bench(), "Offline").samples_per_second == pytest.approx(2400)
    assert first_task(bench(), "Offline").largest_batch == 8


def test_a_servers_batch_leaves_half_of_the_target_for_waiting() -> None:
    """Two calls of 4 ms fit 15 ms; two of 20 ms do not."""
    assert first_task(bench(), "Server").largest_batch == 8


def result(task: ScenarioTask, valid: bool, rate: float) -> ScenarioResult:
    return ScenarioResult(
        scenario=task.scenario,
        valid=valid,
        reasons=() if valid else ("Min duration satisfied: NO",),
        samples_per_second=rate,
        p50_seconds=0.001,
        p90_seconds=0.001,
        p99_seconds=0.001,
        samples_per_query=1,
        seconds=2.0,
        expected=task.expected,
    )


Answer = Callable[[ScenarioTask], ScenarioResult | str]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[float]]:
    """Tests that answer as a function says; returns the rates that were asked for."""

    def install(judge: Answer) -> list[float]:
        asked: list[float] = []

        def process(job: Job, kind: type, seconds: float) -> ScenarioResult | str:
            task = ScenarioTask(**(job.test or {}))
            asked.append(task.samples_per_second)
            return judge(task)

        monkeypatch.setattr(flow, "_process", process)
        return asked

    return install


@pytest.mark.parametrize("capacity", [1990.0, 1200.0, 300.0, 4000.0])
def test_the_server_search_comes_near_the_highest_valid_rate(
    capacity: float, answer: Callable[[Answer], list[float]]
) -> None:
    asked = answer(lambda task: result(task, task.samples_per_second <= capacity, task.samples_per_second))
    here = bench()
    flow._run_scenario(here, "Server")
    (found,) = here.results  # 2,000 were probed
    assert found.valid
    assert found.samples_per_second is not None
    assert 0.85 * capacity <= found.samples_per_second <= capacity
    assert found.tries == len(asked) <= 7


def test_a_server_that_is_never_valid_says_so_with_its_last_try(answer: Callable[[Answer], list[float]]) -> None:
    asked = answer(lambda task: result(task, False, 1.0))
    here = bench()
    flow._run_scenario(here, "Server")
    assert [each.valid for each in here.results] == [False]
    assert len(asked) == 7
    assert asked == sorted(asked, reverse=True)


def test_offline_that_was_faster_than_expected_is_asked_for_more(answer: Callable[[Answer], list[float]]) -> None:
    """It does 5,000 samples/s; 2,400 were expected."""
    asked = answer(lambda task: result(task, task.samples_per_second >= 5000, 5000.0))
    here = bench()
    flow._run_scenario(here, "Offline")
    assert asked == pytest.approx([2400, 6000])
    assert [(each.valid, each.tries) for each in here.results] == [(True, 2)]


def test_a_test_that_dies_is_a_row_with_its_reason(answer: Callable[[Answer], list[float]]) -> None:
    answer(lambda task: "killed by SIGKILL")
    here = bench()
    flow._run_scenario(here, "Server")
    flow._run_scenario(here, "Offline")
    assert [(each.what, each.reason) for each in here.not_run] == [
        ("Server", "killed by SIGKILL"),
        ("Offline", "killed by SIGKILL"),
    ]


def test_a_search_that_is_cut_off_keeps_its_best_and_says_what_happened(
    answer: Callable[[Answer], list[float]],
) -> None:
    answer(lambda task: result(task, True, 1.0) if task.samples_per_second < 1500 else "exit code 1: no memory")
    here = bench()
    flow._run_scenario(here, "Server")
    assert [(each.valid, each.tries) for each in here.results] == [(True, 2)]
    assert [(each.what, each.reason) for each in here.not_run] == [
        ("Server, 1,960 samples/s", "exit code 1: no memory")
    ]


def test_a_name_a_run_and_an_exported_file_are_told_apart(trained: TrainResult, tmp_path: Path) -> None:
    assert find_source("lstm") == Source(kind="model", name="lstm")
    assert not takes_images(find_source("lstm"))
    assert find_source(trained.run) == Source(kind="run", name=trained.run)
    artifact = exported(find_source(trained.run), "torch-export", tmp_path / "t")
    assert find_source(str(tmp_path / "t")) == find_source(str(tmp_path / "t/model.pt2")) == artifact
    for source in (find_source(trained.run), artifact, find_source("cnn"), find_source("lstm")):
        runner, samples = open_source(source, "cpu")
        assert runner.run(samples[:3]).shape == (3, 1000 if source.name == "lstm" else 10)


def test_a_file_without_its_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"no artifact\.json beside it"):
        find_source(str(tmp_path / "model.onnx"))
    with pytest.raises(ConfigError, match="no model 'cnm'"):
        find_source("cnm")


def test_the_fallback_answers_all_four_for_real() -> None:
    source = Source(kind="model", name="cnn")
    probe = work(Job(source=source, device="cpu", threads=1))
    assert isinstance(probe, Probe)
    here = replace(bench(loadgen=False), probe=probe, seconds=0.2)
    from rooflight.core.codec import to_plain

    for scenario in SCENARIOS:
        task = replace(first_task(here, scenario), samples_per_second=400.0, target_latency_seconds=5.0)
        found = work(Job(source=source, device="cpu", threads=1, test=to_plain(task), loadgen=False))
        assert isinstance(found, ScenarioResult)
        assert found.samples_per_second is not None
        assert found.scenario == scenario


@pytest.mark.slow
@pytest.mark.parametrize("loadgen", [True, False], ids=["LoadGen", "fallback"])
def test_the_command_for_real(loadgen: bool, tmp_path: Path) -> None:
    if loadgen and importlib.util.find_spec("mlperf_loadgen") is None:
        pytest.skip("mlcommons_loadgen is not installed")
    out = tmp_path / "mlperf.json"
    report = mlperf(
        "cnn",
        scenarios=["SingleStream,offline"],
        runtime="pytorch",
        seconds=0.5,
        device="cpu",
        fallback=not loadgen,
        out=out,
    )
    answer = report.answer
    assert isinstance(answer, ServingBenchmark)
    assert read_json(ServingBenchmark, out) == answer == from_json(ServingBenchmark, to_json(answer))
    assert [row.scenario for row in answer.results] == ["SingleStream", "Offline"]
    assert all(row.valid for row in answer.results), text(report)
    assert answer.title.startswith("MLPerf-style")
    assert "unverified" in answer.title
    assert answer.harness.startswith("LoadGen" if loadgen else "Rooflight's fallback")
    assert bool(answer.results[0].summary) is loadgen
    assert max(len(line) for line in text(report).split("\n\n")[0].splitlines()) <= 100


def test_a_folder_that_is_no_run_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no run folder \(it has no checkpoints\)"):
        find_source(str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scenarios": ["Servr"]}, "no scenario 'Servr'. Did you mean 'Server'"),
        ({"runtime": "tensorrt"}, "no runtime 'tensorrt'"),
        ({"seconds": 0.0}, "--seconds 0"),
        ({"target_latency_seconds": -1.0}, "--target-latency-ms -1000"),
        ({"target": "cmn"}, "no model 'cmn'"),
        ({"target": "lstm", "runtime": "onnx"}, "takes token ids"),
        ({"out": Path("no/such/folder/x.json")}, "no such folder"),
    ],
)
def test_wrong_input_is_said_before_anything_runs(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        mlperf(**settings)  # type: ignore[arg-type]
