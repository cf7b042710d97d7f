"""The currency that rooms hand to each other: plain, frozen, JSON both ways. Unknown is None; names hold units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Task = Literal["train", "infer"]
Phase = Literal["forward", "backward", "optimizer"]

# ---------------------------------------------------------------- what a device could do


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """One device as its maker publishes it, or as it was measured. Rates are dense: no sparsity, fp32 accumulation."""

    name: str  # form factor and memory size are part of it: "H100 SXM5 80GB"
    driver_names: tuple[str, ...] = ()  # exact names the driver reports; no substring matching
    memory_bytes: int
    bytes_per_second: float  # device memory
    flops_per_second: Mapping[str, float]  # by dtype; a missing dtype is unsupported
    kind_flops_per_second: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by kind of operator, then
    # dtype, where it was measured apart: {"convolution": {"float32": 9e10}}
    tdp_watts: float | None = None  # None: not published
    launch_seconds: float | None = None  # host time to issue one operator; None: not measured
    source: str  # document and date, or the run that measured it


# ---------------------------------------------------------------- what this machine has


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor, from the operating system."""

    model: str
    architecture: str  # "x86_64", "aarch64"
    physical_cores: int | None
    logical_cores: int
    isa: tuple[str, ...]  # the extensions that matter to deep learning: "avx2", "avx512_bf16", "amx_bf16", …
    l2_bytes: int | None
    l3_bytes: int | None
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as its driver names it."""

    index: int
    name: str
    vendor: Literal["nvidia", "amd", "intel", "apple"]
    memory_bytes: int | None  # None where the driver does not say (unified memory)
    free_bytes: int | None
    compute_capability: str | None  # "9.0"
    driver_version: str | None
    power_limit_watts: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One deep-learning package, as installed; None if it is not."""

    name: str
    version: str | None
    cuda_version: str | None  # the CUDA that its wheel was built for; None: a CPU build, or unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """This machine: what a run is done on."""

    system: str  # "Linux 6.1 (glibc 2.36)"
    python: str
    cpu: Cpu
    gpus: tuple[Gpu, ...]
    frameworks: tuple[Framework, ...]
    cuda_driver_version: str | None  # the newest CUDA that the driver speaks
    notes: tuple[str, ...] = ()  # what could not be asked, and why


# ---------------------------------------------------------------- what a model asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be run, apart from where."""

    model: str
    task: Task
    batch: int
    input_shape: tuple[int, ...]  # one sample, without the batch: (C, H, W)
    dtype: str  # of the matrix products: "float32", "bfloat16", "float16"
    optimizer: str | None = None  # None for inference
    channels_last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operator of a trace. Bytes are what it must move with a perfect cache; a multiply-add is 2 FLOPs."""

    name: str  # "aten.convolution.default"
    kind: str  # "convolution", "matmul", "pool", "elementwise", "reduction", "copy", "optimizer", "other"
    phase: Phase
    flops: int
    bytes_read: int
    bytes_written: int
    dtype: str
    costed: bool = True  # False: no cost rule; only its bytes are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """One block of memory: alive from just before op `first_op` to just after op `last_op`, indices into Trace.ops."""

    bytes: int
    first_op: int
    last_op: int
    role: Literal["parameter", "gradient", "optimizer_state", "input", "activation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one step of a model asks of any device. FLOPs and bytes are the sums over its ops."""

    workload: Workload
    parameters: int
    parameter_bytes: int
    flops: int
    bytes: int
    peak_bytes: int
    ops: tuple[Op, ...]
    lifetimes: tuple[Lifetime, ...]


# ---------------------------------------------------------------- predicted and measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a device makes of a trace. low and high bound samples_per_second."""

    gpu: str
    fits: bool
    peak_bytes: int
    step_seconds: float
    samples_per_second: float
    low: float
    high: float
    bound_by: str  # "compute", "memory" or "launch": what the largest share of the step waits for
    mfu: float | None  # model FLOPs utilisation against the spec's rate of the workload's dtype
    watts: float | None = None
    joules_per_sample: float | None = None
    usd_per_million_samples: float | None = None
    max_batch: int | None = None
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a measurement was taken."""

    device: str
    system: str
    python: str
    packages: Mapping[str, str]  # name → version
    threads: int
    settings: tuple[str, ...]  # what was set for the process: malloc thresholds, …
    commit: str | None
    date: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What happened: the median of n repeats, with the quartiles as spread."""

    name: str
    unit: str
    median: float
    low: float  # first quartile
    high: float  # third quartile
    n: int
    environment: Environment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One predicted figure beside the measured one. error is (predicted − measured) / measured."""

    name: str
    unit: str
    predicted: float
    measured: float
    error: float
