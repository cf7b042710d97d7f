"""LoadGen's summary, which it gives as text only, read back."""

import re

from rooflight.bench.scenarios import STREAMS, ScenarioTask
from rooflight.core.benches import ScenarioResult
from rooflight.core.errors import BackendError

# The line that holds the rate of each scenario; MultiStream prints none.
RATES = {
    "SingleStream": r"QPS w/o loadgen overhead",
    "Offline": r"Samples per second",
    "Server": r"Completed samples per second",
}


def read_summary(text: str, task: ScenarioTask, seconds: float) -> ScenarioResult:
    """The result that mlperf_log_summary.txt tells.

    text     the file, as LoadGen 5 and 6 write it
    seconds  that the test took
    raises   BackendError if it is not such a file
    """
    verdict = re.search(r"^Result is : (VALID|INVALID)$", text, re.MULTILINE)
    if verdict is None:
        raise BackendError("LoadGen's summary names no result: the test did not end. Try again with more --seconds.")
    valid = verdict.group(1) == "VALID"
    return ScenarioResult(
        scenario=task.scenario,
        valid=valid,
        reasons=() if valid else reasons(text),
        samples_per_second=_rate(text, task),
        p50_seconds=_latency(text, "50.00"),
        p90_seconds=_latency(text, "90.00"),
        p99_seconds=_latency(text, "99.00"),
        samples_per_query=_whole(text, "samples_per_query"),
        seconds=seconds,
        expected=task.expected,
        target_latency_seconds=task.target_latency_seconds if task.scenario == "Server" else None,
        summary=text,
    )


def reasons(text: str) -> tuple[str, ...]:
    """What was not satisfied, then the advice that LoadGen gives, in its words."""
    head = text.split("Additional Stats")[0]
    failed = re.findall(r"^ +(.+? satisfied) ?: NO$", head, re.MULTILINE)
    advice = re.findall(r"^ \* (.+)$", head.partition("Recommendations:")[2].partition("Early Stop")[0], re.MULTILINE)
    needed = re.findall(r"at least \d+ more queries", head)
    return (*(f"{fact}: NO" for fact in failed), *advice, *(f"Would need to run {words}" for words in needed))


def _rate(text: str, task: ScenarioTask) -> float | None:
    if task.scenario == "MultiStream":
        mean = _number(text, r"Mean latency \(ns\)")
        return STREAMS / (mean * 1e-9) if mean else None
    return _number(text, RATES[task.scenario])


def _latency(text: str, percentile: str) -> float | None:
    nanoseconds = _number(text, rf"{re.escape(percentile)} percentile latency \(ns\)")
    return nanoseconds * 1e-9 if nanoseconds is not None else None


def _whole(text: str, name: str) -> int | None:
    number = _number(text, name)
    return int(number) if number is not None else None


def _number(text: str, name: str) -> float | None:
    found = re.search(rf"^{name} *: *([\d.eE+-]+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else None
