"""`rooflight bench mlperf`: MLPerf-style scenarios on a model in a runtime, by LoadGen where it is installed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rooflight.core.benches import NotRun, ScenarioResult, ServingBenchmark
from rooflight.core.codec import from_json, to_json, to_plain
from rooflight.core.console import Console, Silent
from rooflight.core.errors import BackendError, ConfigError, RooflightError, nearest, refuse_seconds
from rooflight.core.files import refuse_unwritable
from rooflight.core.tables import Report, Table
from rooflight.core.units import show_rate, show_seconds
from rooflight.flows.answer import keep_answer
from rooflight.flows.roof import device_name
from rooflight.flows.serving import RUNTIMES, Job, Probe, Source, exported, find_source, takes_images

if TYPE_CHECKING:
    from rooflight.bench.scenarios import Scenario, ScenarioTask

T = TypeVar("T")
TITLE = "MLPerf-style (LoadGen), unverified"
FALLBACK = "MLPerf-style (Rooflight's fallback loop), unverified"
INSTALL = (
    "LoadGen is not installed, so our own loop ran. Try pip install 'rooflight[mlperf]' (from a checkout: '.[mlperf]')."
)
LEAST_TARGET_SECONDS = 0.015  # MLPerf's for image classification, Server; a slower model gets more
TARGET_CALLS = 5  # a target of so many single calls, if that is more
SERVER_TRIES = 7
OTHER_TRIES = 3
FIRST_SHARE = 0.7  # of the probed rate: the Server's first try
HIGHER = 1.4  # its next one, while none was invalid
CLOSE = 1.05  # its rate is found when the lowest invalid one is so near


@dataclass(slots=True)
class Bench:
    """What every test of a call shares."""

    source: Source
    probe: Probe
    device: str
    threads: int
    seconds: float
    loadgen: bool
    target_latency_seconds: float
    console: Console
    results: list[ScenarioResult] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)


def mlperf(
    target: str = "cnn",
    *,
    scenarios: Sequence[str] = (),
    runtime: str = "auto",
    seconds: float = 5.0,
    target_latency_seconds: float | None = None,
    device: str = "auto",
    fallback: bool = False,
    out: Path | None = None,
    console: Console | None = None,
) -> Report:
    """Probe the runtimes, then run each scenario in a process of its own.

    target                  a model's name (random weights), a run folder, or an exported file or its folder
    scenarios               none: all four
    runtime                 pytorch, onnx, torch-export; auto: the fastest of those that run here
    seconds                 that a test lasts, at least
    target_latency_seconds  Server's; None: 15 ms, or five single calls if that is more
    fallback                our own loop even where LoadGen is installed
    raises                  ConfigError for what cannot be asked, BackendError for a runtime that fails
    """
    from rooflight.bench.loadgen import loadgen_version
    from rooflight.bench.scenarios import SCENARIOS
    from rooflight.hardware.detect import detect
    from rooflight.hardware.environment import environment
    from rooflight.hardware.process import busy_cores
    from rooflight.train.device import pick_device

    console = console or Silent()
    wanted = _scenarios(scenarios, SCENARIOS)
    _check(runtime, seconds, target_latency_seconds, out)
    where, why = pick_device(device)
    source, machine = find_source(target), detect()
    installed = loadgen_version()
    version = None if fallback else installed
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    console.say(f"device {where} ({why}); {f'LoadGen {version}' if version else 'our own loop'}")
    busy = busy_cores()
    for line in busy:
        console.say(line)
    with tempfile.TemporaryDirectory(prefix="rooflight-mlperf-") as folder:
        chosen, probe, why_runtime = _pick_runtime(source, runtime, str(where), threads, Path(folder), console)
        bench = Bench(
            source=chosen,
            probe=probe,
            device=str(where),
            threads=threads,
            seconds=seconds,
            loadgen=version is not None,
            target_latency_seconds=target_latency_seconds
            or max(LEAST_TARGET_SECONDS, TARGET_CALLS * probe.batch_seconds["1"]),
            console=console,
        )
        for scenario in wanted:
            _run_scenario(bench, scenario)
    answer = ServingBenchmark(
        title=TITLE if version else FALLBACK,
        harness=f"LoadGen {version}" if version else "Rooflight's fallback loop",
        model=target,
        weights=source.weights,
        runtime=probe.runtime,
        why_runtime=why_runtime,
        device=device_name(where, machine),
        largest_batch=probe.best_batch,
        probed={str(batch): probe.rate(batch) for batch in probe.batches},
        results=tuple(bench.results),
        not_run=tuple(bench.not_run),
        environment=environment(device_name(where, machine), threads=threads, settings=busy),
    )
    valid = len(answer.results) == len(wanted) and all(result.valid for result in answer.results)
    notes = _notes(answer) if installed else (INSTALL, *_notes(answer))
    report = Report(answer=answer, tables=_tables(answer), notes=notes, exit_code=0 if valid else 1)
    return keep_answer(report, out)


def _pick_runtime(
    source: Source, asked: str, device: str, threads: int, folder: Path, console: Console
) -> tuple[Source, Probe, str]:
    """The source in its runtime, how fast it is, and why that one."""
    if source.kind == "artifact":
        if asked not in ("auto", source.runtime):
            raise ConfigError(f"{source.name} is exported for {source.runtime}; --runtime {asked} cannot read it.")
        return source, _probe(source, device, threads), f"what {source.name} is exported for"
    if not takes_images(source) and asked not in ("auto", "pytorch"):
        raise ConfigError(f"--runtime {asked}: {source.name} takes token ids, which are not exported so far.")
    if not takes_images(source):
        return source, _probe(source, device, threads), "the only one that takes token ids so far"
    found: list[tuple[Source, Probe]] = []
    refused: list[str] = []
    for runtime in RUNTIMES if asked == "auto" else (asked,):
        try:
            ready = source if runtime == "pytorch" else exported(source, runtime, folder / runtime)
            probe = _probe(ready, device, threads)
        except RooflightError as error:
            if asked != "auto":
                raise
            refused.append(f"{runtime} does not run here ({error})")
            continue
        console.say(
            f"{runtime}, {probe.runtime}: {show_rate(probe.rate(probe.best_batch))} at batch {probe.best_batch}"
        )
        found.append((ready, probe))
    if not found:
        raise BackendError(f"no runtime runs {source.name}: {'; '.join(refused)}")
    best, probe = max(found, key=lambda pair: pair[1].rate(pair[1].best_batch))
    rates = ", ".join(f"{ready.runtime} {show_rate(each.rate(each.best_batch))}" for ready, each in found)
    reason = "as asked" if asked != "auto" else "; ".join([f"the fastest of {rates}", *refused])
    return best, probe, reason


def _probe(source: Source, device: str, threads: int) -> Probe:
    job = Job(source=source, device=device, threads=threads)
    found = _process(job, Probe, 300.0)
    if isinstance(found, str):
        raise BackendError(f"{source.name} does not run in {source.runtime}: {found}")
    return found


def _process(job: Job, kind: type[T], seconds: float) -> T | str:
    """The answer of a process that does the job, or why there is none."""
    from rooflight.bench.processes import run_module

    settings = dict(os.environ) | {"OMP_NUM_THREADS": str(job.threads)}
    ended = run_module("rooflight.flows.serving", to_json(job, indent=None), environment=settings, seconds=seconds)
    return ended.reason if ended.answer is None else from_json(kind, ended.answer, what="the answer of a test")


def _run_scenario(bench: Bench, scenario: Scenario) -> None:
    """The best result of the scenario, or the reason why there is none."""
    found = _search_server(bench) if scenario == "Server" else _settle(bench, first_task(bench, scenario))
    if isinstance(found, str):
        bench.not_run.append(NotRun(what=scenario, reason=found))
        bench.console.say(f"{scenario}: {found}")
    else:
        bench.results.append(found)


def first_task(bench: Bench, scenario: Scenario) -> ScenarioTask:
    """The test as probing suggests it, on the side that LoadGen forgives: it prepares more queries than are needed."""
    from rooflight.bench.scenarios import STREAMS, ScenarioTask

    probe = bench.probe
    queried = STREAMS if scenario == "MultiStream" and STREAMS in probe.batches else 1
    return ScenarioTask(
        scenario=scenario,
        seconds=bench.seconds,
        samples=probe.samples,
        largest_batch=_server_batch(bench) if scenario == "Server" else max(probe.best_batch, queried),
        latency_seconds=probe.batch_seconds[str(queried)] / 5,
        samples_per_second=probe.rate(probe.best_batch) * (1.2 if scenario == "Offline" else 1.0),
        target_latency_seconds=bench.target_latency_seconds,
    )


def _server_batch(bench: Bench) -> int:
    """The largest probed batch that leaves a query half of its time to wait for the batch before it."""
    probe = bench.probe
    fitting = [batch for batch in probe.batches if 2 * probe.batch_seconds[str(batch)] <= bench.target_latency_seconds]
    return max(fitting, default=1)


def _settle(bench: Bench, task: ScenarioTask) -> ScenarioResult | str:
    """The test, again with a better expectation if it turns out faster than was probed."""
    for number in range(1, OTHER_TRIES + 1):
        found = _test(bench, task, number)
        if isinstance(found, str) or found.valid or number == OTHER_TRIES:
            return found
        task = replace(
            task,
            latency_seconds=min(task.latency_seconds, found.p50_seconds or task.latency_seconds) / 5,
            samples_per_second=1.2 * max(task.samples_per_second, found.samples_per_second or 0.0),
        )
    raise AssertionError("the last try returns")


def _search_server(bench: Bench) -> ScenarioResult | str:
    """The highest rate that is valid: up from below what was probed, then between a valid and an invalid one."""
    task = first_task(bench, "Server")
    valid, invalid = 0.0, 0.0
    best: ScenarioResult | None = None
    last: ScenarioResult | str = "not tried"
    asked = FIRST_SHARE * task.samples_per_second
    number = 0
    while number < SERVER_TRIES and not (valid and invalid and invalid / valid <= CLOSE):
        number += 1
        last = _test(bench, replace(task, samples_per_second=asked), number)
        if isinstance(last, str):
            if best is not None:  # the best one stands, and what ended the search is told
                bench.not_run.append(NotRun(what=f"Server, {asked:,.0f} samples/s", reason=last))
            break
        if last.valid:
            valid, best = asked, last
        else:
            invalid = asked
        asked = (valid + invalid) / 2 if invalid else asked * HIGHER
    return last if best is None else replace(best, tries=number)


def _test(bench: Bench, task: ScenarioTask, number: int) -> ScenarioResult | str:
    from rooflight.bench.scenarios import LEAST_QUERIES, STREAMS

    queries = LEAST_QUERIES[task.scenario]
    query_seconds = (
        1 / task.samples_per_second
        if task.scenario == "Server"
        else bench.probe.batch_seconds["1"] * (STREAMS if task.scenario == "MultiStream" else 1)
    )
    likely = max(task.seconds, queries * query_seconds)
    if likely > 2 * task.seconds:
        bench.console.say(f"{task.scenario} needs {queries} queries: about {show_seconds(likely)}")
    job = Job(
        source=bench.source,
        device=bench.device,
        threads=bench.threads,
        test=to_plain(task),
        loadgen=bench.loadgen,
    )
    found = _process(job, ScenarioResult, 120 + 10 * likely)
    if isinstance(found, str):
        return found
    word = "VALID" if found.valid else f"INVALID ({found.reasons[0] if found.reasons else 'no reason given'})"
    bench.console.say(f"{task.scenario}, {task.expected}: {word}, {show_rate(found.samples_per_second)}")
    return replace(found, tries=number)


def _scenarios(asked: Sequence[str], known: Sequence[Scenario]) -> tuple[Scenario, ...]:
    words = [word.strip() for each in asked for word in each.split(",") if word.strip()]
    by_lower: dict[str, Scenario] = {name.lower(): name for name in known}
    for word in words:
        if word.lower() not in (*by_lower, "all"):
            raise ConfigError(f"there is no scenario {word!r}.{nearest(word, known)}")
    if not words or "all" in [word.lower() for word in words]:
        return tuple(known)
    return tuple(dict.fromkeys(by_lower[word.lower()] for word in words))


def _check(runtime: str, seconds: float, target: float | None, out: Path | None) -> None:
    if runtime not in ("auto", *RUNTIMES):
        raise ConfigError(f"there is no runtime {runtime!r}.{nearest(runtime, ('auto', *RUNTIMES))}")
    refuse_seconds("--seconds", seconds)
    if target is not None and not 0 < target < float("inf"):
        raise ConfigError(f"--target-latency-ms {target * 1e3:g}: it must be above 0.")
    if out:
        refuse_unwritable(out)


def _tables(answer: ServingBenchmark) -> tuple[Table, ...]:
    columns = ("scenario", "result", "throughput", "p50", "p90", "p99", "tries", "asked for")
    rows = tuple(
        (
            row.scenario,
            "VALID" if row.valid else "INVALID",
            show_rate(row.samples_per_second),
            show_seconds(row.p50_seconds),
            show_seconds(row.p90_seconds),
            show_seconds(row.p99_seconds),
            str(row.tries),
            row.expected,
        )
        for row in answer.results
    )
    tables = [Table(title=answer.title, columns=columns, rows=rows)] if rows else []
    if answer.not_run:
        left_out = tuple((each.what, each.reason) for each in answer.not_run)
        tables.append(Table(columns=("not run", "why"), rows=left_out))
    return tuple(tables)


def _notes(answer: ServingBenchmark) -> tuple[str, ...]:
    notes = [
        f"{answer.model}, weights {answer.weights}, random input, {answer.runtime} on {answer.device}; "
        f"{answer.harness}; batches up to {answer.largest_batch}.",
        f"Runtime: {answer.why_runtime}.",
    ]
    for row in answer.results:
        if row.target_latency_seconds is not None:
            notes.append(
                f"{row.scenario}: 99 % of the queries must be answered in {show_seconds(row.target_latency_seconds)}."
            )
        notes += [f"{row.scenario} is INVALID: {reason}" for reason in row.reasons]
    notes.append("Offline's latencies count from the start of its one query. Not a result that MLCommons has verified.")
    return tuple(notes)
