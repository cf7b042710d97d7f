"""What the comparing benchmarks answer: frameworks, serving scenarios, links. All of it is JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rooflight.core.types import Environment, Link, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """What was asked for and gave no figure."""

    what: str
    reason: str  # "not installed: …", "exit code 1: …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A ratio taken round by round: its median and quartiles."""

    median: float
    low: float
    high: float


# ---------------------------------------------------------------- bench frameworks


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkRun:
    """One process of one framework in one round."""

    framework: str
    model: str
    batch: int
    round: int  # from 1
    train_samples_per_second: float
    infer_samples_per_second: float
    first_step_seconds: float  # from the start of the process, imports included
    peak_bytes: int  # resident, of the process
    parameters: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkRow:
    """A framework on a model: medians over the rounds. A ratio is the reference's samples/s over this one's."""

    framework: str
    model: str
    batch: int
    train: Measurement
    infer: Measurement
    train_ratio: Ratio | None  # None: the reference was not run
    infer_ratio: Ratio | None
    first_step_seconds: float
    peak_bytes: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkComparison:
    """What `bench frameworks --json` prints."""

    device: str
    dtype: str
    reference: str
    environment: Environment
    rows: tuple[FrameworkRow, ...]
    runs: tuple[FrameworkRun, ...]
    not_run: tuple[NotRun, ...]
    settings: Mapping[str, str] = field(default_factory=dict)  # what the worker processes were given


# ---------------------------------------------------------------- bench mlperf


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """One scenario, as LoadGen (or the fallback loop) judged it. A latency is of a query."""

    scenario: str
    valid: bool
    reasons: tuple[str, ...]  # what was not satisfied, in the harness's words
    samples_per_second: float | None  # Server: completed at the rate that was asked for
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None
    samples_per_query: int | None
    seconds: float  # that the test took
    expected: str  # what LoadGen was told to expect
    target_latency_seconds: float | None = None  # Server: what 99 % of the queries must keep
    tries: int = 1  # tests that were run to find this one
    summary: str = ""  # LoadGen's own summary


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingBenchmark:
    """What `bench mlperf --json` prints."""

    title: str  # "MLPerf-style (LoadGen), unverified"
    harness: str  # "LoadGen", "Rooflight's fallback loop"
    model: str
    weights: str  # "random", "of the run", "of the exported file"
    runtime: str  # name and version
    why_runtime: str
    device: str
    largest_batch: int
    probed: Mapping[str, float]  # batch size → samples/s, before the tests
    results: tuple[ScenarioResult, ...]
    not_run: tuple[NotRun, ...]
    environment: Environment


# ---------------------------------------------------------------- bench links


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow:
    """A collective at one message size, as nccl-tests count: algorithm bandwidth is bytes / seconds, bus bandwidth what
    each device's link carries."""

    collective: str
    bytes: int
    seconds: Measurement  # of one call, on the slowest rank
    algorithm_bytes_per_second: float
    bus_bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBenchmark:
    """What `bench links --json` prints. Every row's result was found to be right before it was timed."""

    backend: str
    ranks: int
    device: str
    dtype: str
    rows: tuple[LinkRow, ...]
    latency_seconds: Mapping[str, float]  # by collective: at the smallest size
    not_run: tuple[NotRun, ...]
    link: Link | None  # what the catalogue says of the way between the devices; None: not known
    environment: Environment
