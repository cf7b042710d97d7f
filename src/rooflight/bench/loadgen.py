"""MLCommons' LoadGen: a scenario on a runner. It keeps global state, so a process runs one test and ends."""

import importlib.util
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from rooflight.bench.loadgen_summary import read_summary
from rooflight.bench.scenarios import LEAST_QUERIES, STREAMS, RunBatch, ScenarioTask
from rooflight.core.benches import ScenarioResult

Complete = Callable[[Sequence[int], Tensor], None]  # ids of the queries, their scores (n, K)


def loadgen_version() -> str | None:
    """Of the installed LoadGen; None: it is not installed."""
    return version("mlcommons_loadgen") if importlib.util.find_spec("mlperf_loadgen") else None


class QueuedSystem:
    """The system under test: queries go into a queue, and a thread of its own answers what waits, batch by batch.

    `issue` is called from LoadGen's threads and returns at once.
    """

    def __init__(
        self, run: RunBatch, complete: Complete, largest_batch: int, give_up: Callable[[BaseException], None]
    ) -> None:
        self.run, self.complete, self.largest_batch, self.give_up = run, complete, largest_batch, give_up
        self.queue: queue.SimpleQueue[list[tuple[int, int]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="system under test")
        self.thread.start()

    def issue(self, samples: Sequence[Any]) -> None:
        """Queries to answer, each with an id and the index of a sample."""
        self.queue.put([(sample.id, sample.index) for sample in samples])

    def close(self) -> None:
        """Wait for the thread to end."""
        self.queue.put(None)
        self.thread.join()

    def _work(self) -> None:
        waiting: list[tuple[int, int]] = []
        try:
            while self._receive(waiting):
                batch = waiting[: self.largest_batch]
                del waiting[: self.largest_batch]
                scores = self.run([index for _, index in batch])
                self.complete([number for number, _ in batch], scores)
        except BaseException as error:
            self.give_up(error)

    def _receive(self, waiting: list[tuple[int, int]]) -> bool:
        """Add what has been issued; wait only if nothing waits. False: no more will come, and nothing is left."""
        while not waiting or not self.queue.empty():
            samples = self.queue.get()
            if samples is None:
                self.queue.put(None)  # for the next call
                return bool(waiting)
            waiting += samples
        return True


def run_loadgen(task: ScenarioTask, run: RunBatch) -> ScenarioResult:
    """The scenario by LoadGen, performance only. Ends the process if the runner fails: LoadGen would wait for ever."""
    import mlperf_loadgen as lg

    def complete(ids: Sequence[int], scores: Tensor) -> None:
        # LoadGen reads the rows where they lie: `scores` lives until the call returns.
        scores = scores.contiguous()
        row = scores[0].nbytes
        start = scores.data_ptr()
        lg.QuerySamplesComplete(
            [lg.QuerySampleResponse(number, start + place * row, row) for place, number in enumerate(ids)]
        )

    system = QueuedSystem(run, complete, task.largest_batch, _end_process)
    settings = loadgen_settings(lg, task)
    with tempfile.TemporaryDirectory(prefix="rooflight-loadgen-") as folder:
        output = lg.LogOutputSettings()
        output.outdir = folder
        log = lg.LogSettings()
        log.log_output, log.enable_trace = output, False
        sut = lg.ConstructSUT(system.issue, lambda: None)
        library = lg.ConstructQSL(task.samples, task.samples, lambda indices: None, lambda indices: None)
        begin = time.perf_counter()
        lg.StartTestWithLogSettings(sut, library, settings, log)
        seconds = time.perf_counter() - begin
        lg.DestroyQSL(library)
        lg.DestroySUT(sut)
        system.close()
        text = (Path(folder) / "mlperf_log_summary.txt").read_text()
    return read_summary(text, task, seconds)


def loadgen_settings(lg: Any, task: ScenarioTask) -> Any:
    """LoadGen's TestSettings. Its seeds stay 0, so that a test can be run again."""
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, task.scenario)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = round(1000 * task.seconds)
    settings.min_query_count = LEAST_QUERIES[task.scenario]
    nanoseconds = max(1, round(1e9 * task.latency_seconds))
    if task.scenario == "SingleStream":
        settings.single_stream_expected_latency_ns = nanoseconds
    elif task.scenario == "MultiStream":
        settings.multi_stream_expected_latency_ns = nanoseconds
        settings.multi_stream_samples_per_query = STREAMS
    elif task.scenario == "Offline":
        settings.offline_expected_qps = task.samples_per_second
    else:
        assert task.target_latency_seconds is not None
        settings.server_target_qps = task.samples_per_second
        settings.server_target_latency_ns = round(1e9 * task.target_latency_seconds)
    return settings


def _end_process(error: BaseException) -> None:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)
