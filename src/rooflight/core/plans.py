"""What `plan` is asked and what it answers. A setting is declared once, here; flags and --help are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel, Sharding
from rooflight.core.settings import setting
from rooflight.core.types import Estimate, Generation, GpuSpec, Phase, Task, Vendor, Workload

Goal = Literal["fastest", "cheapest", "greenest"]
ParameterDtype = Literal["auto", "float32", "bfloat16", "float16"]
PlanDtype = Literal["auto", "float32", "tfloat32", "bfloat16", "float16"]

BATCH = 64  # of a model; a saved trace has its own
# One core, simplejpeg: benchmarks/results/loader-2026-11-24.json.
DECODED, DECODED_WORDS = 1450.0, "500×375 JPEG photographs on a Zen 4 core"
HERE = "here"  # what --gpu calls this machine's own device


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanConfig:
    """What is to be planned, for which GPUs, and what they may cost."""

    model: str = setting(
        "cnn",
        "cnn, lstm, transfer:vgg16, resnet50, torchvision:…, timm:…, hf:…, FILE.py:FUNCTION, FILE.keras, a saved trace "
        "TRACE.json, or - for one on stdin",
    )
    task: Task = setting("train", "a training step or an inference batch")
    batch: int | None = setting(None, "samples per step, of each GPU [default: 64, or a saved trace's own]")
    dtype: PlanDtype = setting("auto", "dtype of the matrix products; auto: bfloat16 where all GPUs named have it")
    parameter_dtype: ParameterDtype = setting("auto", "of the weights; auto: float32 to train, as --dtype to infer")
    optimizer: str = setting("auto", "adam, adamw, sgd, sgd-momentum, … [auto: adam]")
    seq_len: int | None = setting(None, "tokens of a text [default: 512, or what the model can take]")
    image_size: int | None = setting(None, "height and width of an image [default: the model's own]")
    channels_last: bool = setting(False, "images and convolutions in channels last; the classic ones always are")
    compile: bool = setting(False, "under torch.compile")
    cuda_graphs: bool = setting(False, "the step replayed as one CUDA graph: the host issues it at once")
    checkpointing: bool = setting(False, "keep a block's input alone and run it again in backward")
    accumulation: int = setting(1, "micro-batches that a step's batch goes through in")
    trainable: Literal["all", "head", "lora"] = setting("all", "what is trained")
    generation: Generation | None = setting(
        None, "prefill or decode of a language model, with a cache [default: neither]"
    )
    gpu: tuple[str, ...] = setting((), "a GPU of the catalogue, may be given again; here: this machine [none: all]")
    samples: int | None = setting(
        None, "how many go through in the whole run, epochs × samples of each: its time, energy and price are told"
    )
    gpus: int = setting(1, "how many share a step: by data parallelism, what --tensor and --pipeline leave of them")
    tensor: int = setting(1, "GPUs that share every product of a block, and its attention heads")
    pipeline: int = setting(1, "stages of some blocks each; --accumulation micro-batches go through them")
    interleave: int = setting(1, "pieces of the model that each pipeline stage has")
    sequence_parallel: bool = setting(False, "norms and residuals split among the --tensor GPUs too")
    shard: Sharding = setting("none", "what data-parallel ranks keep a part of only (ZeRO 1, 2, 3 and FSDP)")
    shard_group: int | None = setting(None, "ranks that hold one whole copy together [default: all]")
    network_gbits: float | None = setting(
        None, "Gbit/s of one GPU's part of the adapters between machines [default: as such GPUs are sold]"
    )
    input_rate: float | None = setting(
        None, "samples/s that one machine's loader gives, as train or bench measured it [default: not charged]"
    )
    cores: int | None = setting(None, "of one machine, that decode for its GPUs [default: not charged]")
    decode_rate: float | None = setting(
        None, f"samples/s that one of --cores decodes [default: {DECODED:,.0f} for images: {DECODED_WORDS}]"
    )
    scaling: str | None = setting(
        None, "FIRST..LAST: the best form for so many GPUs, doubling, with the same batch in all, and for each of them"
    )
    max_usd_per_hour: float | None = setting(None, "of one GPU: the cheapest offer on demand, or as bought")
    max_price_usd: float | None = setting(None, "launch price of a card")
    max_watts: float | None = setting(None, "TDP of a GPU")
    min_memory_gib: float | None = setting(None, "memory of a GPU")
    form_factor: str | None = setting(None, "PCIe, SXM5, OAM, module, laptop, integrated, …")
    vendor: Vendor | None = setting(None, "nvidia, amd, intel or apple")
    goal: Goal = setting("fastest", "what the ranking puts first")
    top: int = setting(15, "how many of those that fit are shown; --json prints all")
    usd_per_kwh: float = setting(0.15, "price of electricity, for GPUs that no cloud is known to offer")
    device: str = setting(
        "auto", "this machine's: auto, cpu, cuda or cuda:1; if named, and no --gpu is, it is planned alone"
    )
    measure: bool = setting(True, "measure this machine if it has no calibration; without, it is left out")
    calibration: str = setting(
        "auto", "auto: as `bench calibrate` left it, where it fits; none: measure now; or a file"
    )

    def __post_init__(self) -> None:
        for name in (
            "batch",
            "accumulation",
            "samples",
            "gpus",
            "tensor",
            "pipeline",
            "interleave",
            "shard_group",
            "top",
            "seq_len",
            "image_size",
            "cores",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value}: it must be 1 or more.")
        if self.network_gbits is not None and self.network_gbits <= 0:
            raise ConfigError(f"--network-gbits {self.network_gbits:g}: it must be more than 0.")
        if self.task == "infer" and self.optimizer != "auto":
            raise ConfigError(f"--optimizer {self.optimizer} is for training. Leave it out, or try --task train.")
        for name in ("input_rate", "decode_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < float("inf"):
                raise ConfigError(
                    f"--{name.replace('_', '-')} {rate:g}: it must be more than 0, in samples per second."
                )
        if self.input_rate is not None and (self.cores is not None or self.decode_rate is not None):
            raise ConfigError(
                "--input-rate is what the whole loader gives. Give it, or --cores with --decode-rate, not both."
            )
        if self.decode_rate is not None and self.cores is None:
            raise ConfigError("--decode-rate is of one core: add --cores, how many of a machine decode.")
        for name in ("max_usd_per_hour", "max_price_usd", "max_watts", "min_memory_gib", "usd_per_kwh"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"--{name.replace('_', '-')} {value:g}: it must be 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """The sums of a trace."""

    flops: int
    bytes: int
    parameters: int
    parameter_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """GPUs that are not among the estimates, and why."""

    reason: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPeak:
    """When the tensors of a step take most, and what they are."""

    bytes: int
    phase: Phase
    op: int  # index into the trace's operators
    ops: int  # how many there are
    op_name: str
    by_role: Mapping[str, int]  # bytes, the largest first


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """A change to the step, worked out on one GPU (or several of it) from a trace of its own."""

    flags: str  # "--batch 32"
    gpu: str
    fits: bool
    peak_bytes: int
    step_seconds: float
    samples_per_second: float
    time_ratio: float  # GPU seconds of a sample, over those of the step as it was asked for, if there were room
    not_the_same: str | None = None  # how what is learnt differs; None: the same up to rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `plan --json` prints. Estimates are ranked: those that fit first, by the goal."""

    workload: Workload
    trace: TraceSummary
    roof: GpuSpec | None = None  # of this machine; None: it was not measured
    estimates: tuple[Estimate, ...]
    left_out: tuple[LeftOut, ...] = ()
    assumptions: tuple[str, ...] = ()  # of all estimates
    peak: StepPeak | None = None  # None: not known
    ways_out: tuple[WayOut, ...] = ()  # where nothing fits
    untraced: tuple[str, ...] = ()  # ways that the model does not have: the flags, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPoint:
    """The best form found for one number of GPUs.

    batch       samples of the whole step; micro_batch: of one replica at a time
    efficiency  samples per second and GPU, over the most of the curve
    waiting     share of the step that the busiest GPU waits, by what for: "tensor", "pipeline", "bubble", "data"
    limited_by  what the largest share of the step goes to: "compute", "memory", "launch", "network", "bubble"
    flops_per_memory_byte, flops_per_network_byte  of one GPU: where it stands on the roofline of two axes; None:
                nothing is sent
    """

    gpus: int
    form: Parallel
    batch: int
    micro_batch: int
    step_seconds: float
    samples_per_second: float
    efficiency: float
    peak_bytes: float
    waiting: Mapping[str, float]
    limited_by: str
    flops_per_memory_byte: float
    flops_per_network_byte: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofs:
    """What one GPU could do: the roofs of the two axes, and the ridges between their regions (Checconi et al.)."""

    flops_per_second: float
    memory_bytes_per_second: float
    network_bytes_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """One GPU's curves. strong: the same batch for all numbers; weak: the same batch for each GPU."""

    gpu: str
    roofs: Roofs
    strong: tuple[ScalingPoint, ...]
    weak: tuple[ScalingPoint, ...]
    missing: tuple[str, ...] = ()  # numbers of GPUs without a form, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPlan:
    """What `plan --scaling --json` prints."""

    workload: Workload
    trace: TraceSummary
    curves: tuple[Scaling, ...]
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedClass:
    """One class of operators on two GPUs."""

    name: str
    seconds: tuple[float, float]
    shares: tuple[float, float]  # of each GPU's own step
    bound_by: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What `plan --compare A B --json` prints."""

    workload: Workload
    trace: TraceSummary
    estimates: tuple[Estimate, Estimate]
    classes: tuple[ComparedClass, ...]  # the longest first
