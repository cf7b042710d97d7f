"""The currency that rooms hand to each other: plain, frozen, JSON both ways. Unknown is None; names hold units."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rooflight.core.parallel import Parallel

Task = Literal["train", "infer"]
Phase = Literal["forward", "backward", "optimizer"]
Trainable = Literal["all", "head", "lora"]  # head: the last linear layer alone; lora: an adapter at every other one
Generation = Literal["prefill", "decode"]  # prefill: T tokens fill the cache; decode: one more token, T in the cache
Role = Literal["parameter", "gradient", "optimizer_state", "input", "kv_cache", "activation", "workspace"]
Vendor = Literal["nvidia", "amd", "intel", "apple"]

# ---------------------------------------------------------------- what a device could do


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One dense peak: the FLOP/s of one engine in one dtype. A multiply-add is 2 FLOPs, for integers too."""

    engine: Literal["vector", "matrix"]  # matrix: Tensor Cores, Matrix Cores, XMX
    dtype: (
        str  # of the operands: "float64", "float32", "tfloat32", "bfloat16", "float16", "float8", "int8", "float4", …
    )
    accumulate: str  # of the sums: "float32"; on GeForce, sums in float16 run twice as fast
    flops_per_second: float
    sure: bool = True  # False: derived, approximate, or sources differ; note says how
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A way to other devices, or to the host."""

    name: str  # "NVLink 4", "xGMI", "PCIe 5.0 x16"
    bytes_per_second: float  # one direction, all of one device's links together
    devices: int | None = None  # how many reach each other so; None: only the host, or as the board allows
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A price with its date."""

    gpu: str  # name of a catalogue entry
    gpus: int  # in the instance; the price is for all of them
    usd_per_hour: float
    provider: str
    region: str | None = None
    spot: bool = False
    as_of: str  # ISO 8601 date
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTimes:
    """One operator in one dtype as it was timed on a device at many sizes, in columns."""

    kind: str
    kernel: str  # the operator's name without its overload: "convolution_backward"
    dtype: str
    features: tuple[float, ...]  # of one timed operator after the other; estimate/measured.py names them
    log_ratios: tuple[float, ...]  # natural logarithm of measured / least seconds, an operator each


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedKernels:
    """The kernels of a device, and how well they tell the time of networks that they were not timed in."""

    kernels: tuple[KernelTimes, ...]
    networks: int  # random ones, each as a training step and an inference pass in every dtype
    median_error: float  # absolute, of steps of networks that were held out
    low: float  # predicted / measured seconds: a tenth of held-out steps lies below, and a tenth above high
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """One device as its maker publishes it, or as it was measured. Rates are dense: no sparsity, fp32 accumulation."""

    name: str  # form factor and memory size are part of it: "H100 SXM5 80GB"
    driver_names: tuple[str, ...] = ()  # exact names the driver reports; no substring matching
    memory_bytes: int
    bytes_per_second: float  # device memory
    flops_per_second: Mapping[str, float]  # by dtype, the best engine that sums as PyTorch does (in float32); a missing
    # dtype is unsupported
    kind_flops_per_second: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by kind of operator, then
    # dtype, where it was measured apart: {"convolution": {"float32": 9e10}}
    tdp_watts: float | None = None  # None: not published
    launch_seconds: float | None = None  # host time to issue one operator; None: not measured
    timed: TimedKernels | None = field(default=None, repr=False, compare=False, metadata={"json": False})  # by `bench
    # calibrate`; too long to be printed
    source: str  # document and date, or the run that measured it
    # What a catalogue adds; None or empty: not known, or not a catalogue's entry.
    vendor: Vendor | None = None
    family: str | None = None  # "GeForce", "RTX", "Tesla", "Data Center", "Jetson", "Radeon", "Instinct", "Arc", …
    architecture: str | None = None  # "Hopper GH100"
    target: str | None = None  # what kernels are compiled for: compute capability "9.0", "gfx942", "bmg"
    units: int | None = None  # SMs, CUs, Xe-cores, GPU cores
    clock_hz: float | None = None  # the published boost clock; Rates may rest on another, and then say so
    l2_bytes: int | None = None
    last_level_bytes: int | None = None  # a cache behind L2: AMD's Infinity Cache
    matrix_engine: str | None = None  # "Tensor Cores, 4th generation", "none"
    rates: tuple[Rate, ...] = ()  # every engine, dtype and accumulation
    form_factor: str | None = None  # "PCIe", "SXM5", "OAM", "module", "laptop", "integrated"
    cooling: tuple[str, ...] = ()  # "active", "passive", "liquid": as sold
    psu_watts: float | None = None  # power supply that the maker recommends for a machine with one such card
    links: tuple[Link, ...] = ()
    unified_memory: bool = False  # the memory is the CPU's
    devices_per_card: int = 1  # K80, MI250X: two; every figure but the price is one device's
    launch_usd: float | None = None  # list price of the card, approximate
    launch_year: int | None = None
    last_support: Mapping[str, str] = field(default_factory=dict)  # {"cuda": "12.9", "torch": "2.7"}: the last versions
    # that have kernels for it; a framework that is not named still has
    conflicts: tuple[str, ...] = ()  # figures that sources disagree on, with both


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
    peak_flops_per_second: Mapping[str, float] = field(default_factory=dict)  # by dtype: cores × units × width × clock
    peak_note: str | None = None  # what the peak rests on: the clock, the units of the microarchitecture


@dataclass(frozen=True, slots=True, kw_only=True)
class PcieLink:
    """The way from the host to a GPU: as trained now, and as card and slot could. An idle GPU lowers its generation."""

    generation: int | None
    lanes: int | None
    max_generation: int | None
    max_lanes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU at one moment. None: the driver does not tell."""

    free_bytes: int | None = None
    core_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    power_watts: float | None = None
    temperature_celsius: float | None = None
    busy: float | None = None  # 0 to 1: share of the last moments in which a kernel ran
    throttled_by: tuple[str, ...] | None = None  # "power cap", "heat", …; () when nothing slows it


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as its driver names it."""

    index: int
    name: str
    vendor: Vendor
    memory_bytes: int | None  # None where the driver does not say (unified memory)
    free_bytes: int | None
    compute_capability: str | None  # "9.0"
    driver_version: str | None
    power_limit_watts: float | None
    target: str | None = None  # what kernels are compiled for: the compute capability, or "gfx942"
    units: int | None = None  # SMs, CUs
    uuid: str | None = None
    pci_address: str | None = None
    default_power_limit_watts: float | None = None
    max_core_clock_hz: float | None = None  # a ceiling, above the clock that data sheets count with
    pcie: PcieLink | None = None
    nvlinks: int | None = None  # NVLink (AMD: xGMI) links that are up
    mig: tuple[str, ...] | None = None  # names of the instances; () when MIG is off; None: not a GPU that has it
    ecc: bool | None = None
    unified_memory: bool = False  # the memory is the CPU's
    state: GpuState | None = None
    spec: str | None = None  # the catalogue's entry of that driver's name; None: unknown to it
    matrix_engine: str | None = None  # from the catalogue: "Tensor Cores, 4th generation", "none"
    matrix_dtypes: tuple[str, ...] = ()  # the dtypes it speeds up


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One deep-learning package, as installed; None if it is not."""

    name: str
    version: str | None
    cuda_version: str | None  # the CUDA that its wheel was built for; None: a CPU build, or unknown
    rocm_version: str | None = None
    cudnn_version: str | None = None
    backend: str | None = None  # Keras: the framework under it
    devices: tuple[str, ...] | None = None  # accelerators it sees, as it names them; None: it was not asked
    targets: tuple[str, ...] = ()  # what its kernels are compiled for: "sm_90", "gfx942"
    tf32: bool | None = (
        None  # whether float32 matrix products use TF32 unless told otherwise; None: no CUDA, or not asked
    )
    error: str | None = None  # what went wrong when it was asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Something here that is wrong or unused."""

    about: str  # "GPU 0", "torch"
    problem: str  # what was found, and why it matters
    action: str  # what to do


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """This machine: what a run is done on."""

    system: str  # "Linux 6.1 (glibc 2.36)"
    python: str
    cpu: Cpu
    gpus: tuple[Gpu, ...]
    frameworks: tuple[Framework, ...]
    cuda_driver_version: str | None  # the newest CUDA that the driver speaks
    rocm_version: str | None = None
    notes: tuple[str, ...] = ()  # what could not be asked, and why
    advice: tuple[Advice, ...] = ()


# ---------------------------------------------------------------- what a model asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be run, apart from where."""

    model: str
    task: Task
    batch: int
    input_shape: tuple[int, ...]  # one sample, without the batch: (C, H, W) of an image, (T,) of tokens
    dtype: str  # of the matrix products: "float32", "tfloat32", "bfloat16", "float16"; by autocast if parameters differ
    optimizer: str | None = None  # None for inference
    channels_last: bool = False
    parameter_dtype: str = "float32"
    accumulation: int = 1  # a step's batch goes through in so many equal micro-batches
    checkpointing: bool = False  # repeated blocks keep their input alone and run again in backward
    trainable: Trainable = "all"
    lora_rank: int = 8  # with trainable "lora"
    generation: Generation | None = None  # a language model with a key-value cache; None: a plain forward pass
    compiled: bool = False  # by torch.compile; a trace is the same either way
    graphed: bool = False  # the step replayed as one CUDA graph, which the host issues at once
    parallel: Parallel = Parallel()  # how GPUs share a step; batch is one micro-batch of one replica

    @property
    def gpus(self) -> int:
        """How many share a step."""
        return self.parallel.gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operator of a trace. Bytes are what it must move with a perfect cache; a multiply-add is 2 FLOPs."""

    name: str  # "aten.convolution.default"
    kind: str  # "convolution", "matmul", "attention", "recurrent", "normalization", "pool", "elementwise", "reduction",
    # "copy", "optimizer", "other"
    phase: Phase
    flops: int
    bytes_read: int
    bytes_written: int
    dtype: str
    costed: bool = True  # False: no cost rule; only its bytes are known
    product: tuple[int, int, int, int] | None = None  # (batch, M, N, K) of a matrix product, a convolution as the one
    # it is, (groups, N·P·Q, K / groups, C / groups·R·S), attention as (N·heads, queries, keys, head size),
    # a recurrent layer as (steps one after another, N, gates·H, H); a backward op repeats its forward product
    inputs: tuple[tuple[int, int], ...] = ()  # (index of the op that made it, bytes) of each tensor read that an op of
    # this trace wrote
    layout: Literal["first", "last", "mixed"] | None = None  # where the channels of its tensors lie, or that these lie
    # in memory in different orders or with gaps; None: no tensor of two dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """One block of memory: alive from just before op `first_op` to just after op `last_op`, indices into Trace.ops."""

    bytes: int
    first_op: int
    last_op: int
    role: Role


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
class Feed:
    """What one machine's loader gives, whichever of its GPUs it is for. words: where the figure comes from."""

    samples_per_second: float
    words: str
    cores: int | None = None  # that it is of, where it is so many times one core's


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """The stages of a step that is fed, each as fast as if it were alone; samples are of all GPUs."""

    loader_samples_per_second: float
    copy_samples_per_second: float | None  # to the devices; None: no link is known, or none is needed
    gpu_samples_per_second: float  # with augmentation on the device
    machines: int


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
    bound_by: str  # "compute", "memory", "launch", "network", "bubble" (of a pipeline): where most of the step goes;
    # "input": the GPUs wait for their batches
    mfu: float | None  # model FLOPs utilisation against the spec's rate of the workload's dtype
    watts: float | None = None
    joules_per_sample: float | None = None
    usd_per_million_samples: float | None = None
    run_seconds: float | None = None  # of as many samples as were asked about; None: none were
    run_kwh: float | None = None
    run_usd: float | None = None
    max_batch: int | None = None
    usd_per_hour: float | None = None  # of one GPU
    price: str | None = None  # what that price is, with its date
    fed: Fed | None = None  # None: the input pipeline is not charged
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
    watts: float | None = None  # average power while it ran; None: no meter
    clock_hz: float | None = None  # sampled while it ran
    throttled_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One predicted figure beside the measured one. error is (predicted − measured) / measured."""

    name: str
    unit: str
    predicted: float
    measured: float
    error: float
