"""The four MLPerf-style scenarios: what each asks, and a loop of our own with the same semantics where LoadGen is not.

source  Reddi et al., "MLPerf Inference Benchmark", arXiv 1911.02549; the least numbers of queries are LoadGen's, from
        its early stopping: 64 for a p90, 662 for a p99 (MultiStream), 459 for a Server in which no query is late
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from rooflight.core.benches import ScenarioResult

Scenario = Literal["SingleStream", "MultiStream", "Offline", "Server"]
SCENARIOS: tuple[Scenario, ...] = ("SingleStream", "MultiStream", "Offline", "Server")
STREAMS = 8  # samples in a query of MultiStream
LEAST_QUERIES: Mapping[Scenario, int] = {"SingleStream": 64, "MultiStream": 662, "Offline": 1, "Server": 700}
OFFLINE_SURPLUS = 1.1  # LoadGen's Offline query holds so many times the samples that fill the duration

RunBatch = Callable[[Sequence[int]], Tensor]  # indices of samples in memory → scores (n, K), float32 on the CPU


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTask:
    """One test: what to run, and what was probed, so that it comes out valid."""

    scenario: Scenario
    seconds: float  # that the test must last, at least
    samples: int  # in memory
    largest_batch: int  # that the runner is given
    latency_seconds: float  # SingleStream, MultiStream: of a query, as expected
    samples_per_second: float  # Offline: as expected; Server: the rate at which queries arrive
    target_latency_seconds: float | None = None  # Server: what 99 % of the queries must keep

    @property
    def expected(self) -> str:
        """What the harness is told."""
        if self.scenario in ("SingleStream", "MultiStream"):
            return f"{self.latency_seconds * 1e3:.3g} ms a query"
        return f"{self.samples_per_second:,.1f} samples/s"


def run_fallback(
    task: ScenarioTask,
    run: RunBatch,
    *,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> ScenarioResult:
    """The scenario by our own loop, on one thread, which also forms the batches. It has no early stopping: a Server is
    valid if 99 % of its queries kept the target.

    seed  of the samples that are drawn and of the Server's arrivals
    """
    draw = random.Random(seed)
    begin = clock()
    if task.scenario == "Offline":
        latencies = _offline(task, run, draw, clock)
        queried = len(latencies)
    elif task.scenario == "Server":
        latencies = _server(task, run, draw, clock, sleep)
        queried = 1
    else:
        queried = STREAMS if task.scenario == "MultiStream" else 1
        latencies = _streams(task, run, draw, clock, queried)
    seconds = clock() - begin
    samples = len(latencies) * (queried if task.scenario == "MultiStream" else 1)
    reasons = _reasons(task, latencies, seconds)
    return ScenarioResult(
        scenario=task.scenario,
        valid=not reasons,
        reasons=reasons,
        samples_per_second=samples / seconds,
        p50_seconds=percentile(latencies, 0.50),
        p90_seconds=percentile(latencies, 0.90),
        p99_seconds=percentile(latencies, 0.99),
        samples_per_query=queried,
        seconds=seconds,
        expected=task.expected,
        target_latency_seconds=task.target_latency_seconds if task.scenario == "Server" else None,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least so large a share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _streams(
    task: ScenarioTask, run: RunBatch, draw: random.Random, clock: Callable[[], float], queried: int
) -> list[float]:
    """One query after the other, each as soon as the last one is answered."""
    latencies: list[float] = []
    begin = clock()
    now = begin
    while now - begin < task.seconds or len(latencies) < LEAST_QUERIES[task.scenario]:
        run(draw.choices(range(task.samples), k=queried))
        end = clock()
        latencies.append(end - now)
        now = end
    return latencies


def _offline(task: ScenarioTask, run: RunBatch, draw: random.Random, clock: Callable[[], float]) -> list[float]:
    """All samples in one query, batch after batch; a sample's latency counts from the query's arrival."""
    count = max(1, round(OFFLINE_SURPLUS * task.samples_per_second * task.seconds))
    latencies: list[float] = []
    begin = clock()
    while len(latencies) < count:
        size = min(task.largest_batch, count - len(latencies))
        run(draw.choices(range(task.samples), k=size))
        latencies += [clock() - begin] * size
    return latencies


def _server(
    task: ScenarioTask,
    run: RunBatch,
    draw: random.Random,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[float]:
    """Queries of one sample arrive as a Poisson process; what waits is answered together, up to the largest batch."""
    arrivals: list[float] = []
    moment = 0.0
    while moment < task.seconds or len(arrivals) < LEAST_QUERIES["Server"]:
        moment += draw.expovariate(task.samples_per_second)
        arrivals.append(moment)
    latencies: list[float] = []
    begin = clock()
    while len(latencies) < len(arrivals):
        done, now = len(latencies), clock() - begin
        if arrivals[done] > now:
            sleep(arrivals[done] - now)
            now = max(clock() - begin, arrivals[done])  # the clock may fall short by a rounding
        waiting = [arrival for arrival in arrivals[done : done + task.largest_batch] if arrival <= now]
        run(draw.choices(range(task.samples), k=len(waiting)))
        end = clock() - begin
        latencies += [end - arrival for arrival in waiting]
    return latencies


def _reasons(task: ScenarioTask, latencies: Sequence[float], seconds: float) -> tuple[str, ...]:
    reasons = []
    if seconds < task.seconds:
        reasons.append(f"it took {seconds:.2f} s, the least is {task.seconds:g} s: it was faster than expected")
    if task.scenario == "Server" and task.target_latency_seconds is not None:
        late = sum(latency > task.target_latency_seconds for latency in latencies)
        if late > 0.01 * len(latencies):
            reasons.append(f"{late} of {len(latencies)} queries were later than the target")
    return tuple(reasons)
