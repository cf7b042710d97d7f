"""What a run is made of: its configuration, its data, its results and the files that it leaves. All of it is JSON."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

from rooflight.core.errors import ConfigError
from rooflight.core.types import Comparison, Environment

DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


def setting(default: Any, help: str) -> Any:
    """A field of a configuration: its default and its help text, from which flags and --help are made."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides a training run. The resolved one is stored in the run folder and can be fed back in."""

    model: str = setting("cnn", "what to train: cnn")
    data: str = setting("bundled", "bundled, fashion-mnist, mnist, a folder of class folders, or an .npz file")
    data_dir: str | None = setting(None, "where a named data set is looked for first")
    epochs: int = setting(5, "passes over the training set")
    batch: int = setting(64, "samples per step")
    lr: float = setting(3e-3, "learning rate of Adam; the highest one of a cycle")
    schedule: Literal["one-cycle", "constant"] = setting("one-cycle", "learning rate over the run")
    shift: int = setting(1, "largest random shift of an image, in pixels; 0: none")
    flip: bool | None = setting(None, "mirror half of the images; default: yes, unless the classes are digits")
    augment: float = setting(0.6, "share of the run, from its start, whose images are shifted and mirrored")
    max_bad: float = setting(0.05, "largest share of broken image files to go on with, 0 to 1")
    storage: Literal["auto", "memory", "disk"] = setting(
        "auto", "where a folder's training images wait: decoded in memory, or on disk; auto: memory, if they fit"
    )
    dtype: DtypeName = setting("auto", "dtype of the matrix products (autocast)")
    device: str = setting("auto", "auto, cpu, cuda or cuda:1")
    seed: int = setting(0, "seed of weights, shuffling and augmentation")

    def __post_init__(self) -> None:
        least = {"epochs": 1, "batch": 1, "shift": 0, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"--{name} {getattr(self, name)}: it must be {bound} or more.")
            if getattr(self, name) >= 2**32:
                raise ConfigError(f"--{name} {getattr(self, name)}: it must be below 2³².")
        if not 0 < self.lr < float("inf"):
            raise ConfigError(f"--lr {self.lr:g}: it must be above 0.")
        if not 0 <= self.augment <= 1:
            raise ConfigError(f"--augment {self.augment:g}: it is a share, 0 to 1.")
        if not 0 <= self.max_bad < 1:
            raise ConfigError(f"--max-bad {self.max_bad:g}: it is a share, 0 up to but not including 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BadSample:
    """A sample that could not be read or decoded, and was left out."""

    sample: int  # its place in the set
    name: str  # a file, or a member of an archive
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """Which data a run saw: printed before it starts and kept with it."""

    name: str
    source: str  # a path, or the package that carries it
    train_count: int
    test_count: int
    classes: tuple[str, ...]
    sha256: (
        str  # of the images and labels as loaded, train then test; of names, sizes and labels where not loaded at once
    )
    licence: str | None = None
    bad: tuple[BadSample, ...] = ()  # broken files: named here, left out of every epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From a decoded uint8 image to the model's input: resize to (height, width), then (x / 255 − mean) / std."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]  # per channel, of pixels in 0..1
    std: tuple[float, ...]
    pipeline: str | None = None  # the evaluation pipeline as JSON, which says it exactly; None: the line above
    pipeline_sha256: str | None = None  # of that document: equal hashes, equal pixels

    def __post_init__(self) -> None:
        if self.pipeline is not None:
            found = hashlib.sha256(self.pipeline.encode()).hexdigest()
            if found != self.pipeline_sha256:
                raise ConfigError(
                    f"the preprocessing's pipeline has the hash {found[:12]}…, it is recorded with "
                    f"{(self.pipeline_sha256 or 'none')[:12]}…: the weights may expect other pixels. Try another run."
                )
        elif self.pipeline_sha256 is not None:
            raise ConfigError(
                f"the preprocessing records the hash {self.pipeline_sha256[:12]}… of a pipeline that is missing: the "
                "weights may expect other pixels. Try another run."
            )
        sizes = self.channels in (1, 3) and self.height > 0 and self.width > 0
        if not sizes or not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ConfigError(f"a preprocessing that cannot be: {self}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Trained weights and all that is needed to use them. Stored as JSON beside the safetensors file that it names."""

    weights: str  # file name, beside this document
    weights_sha256: str
    model: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    epoch: int
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Accuracy on the held-out test set, which is never trained on and never chooses anything."""

    accuracy: float
    loss: float
    count: int
    confusion: tuple[tuple[int, ...], ...]  # [true class][predicted class]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ConfigError("a confusion matrix must have as many columns as rows.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of metrics.jsonl."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    samples_per_second: float  # training steps only, without evaluation
    seconds: float  # since the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training run found. Stored as result.json in the run folder."""

    run: str  # the folder
    config: TrainConfig
    data: DataInfo
    preprocessing: Preprocessing
    device: str
    dtype: str
    reasons: tuple[str, ...]  # why each automatic choice was made
    parameters: int
    steps: int
    samples_per_second: float  # median over the epochs
    step_seconds: float  # median over the epochs
    first_step_seconds: float  # from the start of training to the end of the first step
    evaluation: Evaluation
    epochs: tuple[EpochRecord, ...]
    environment: Environment
    comparisons: tuple[Comparison, ...] = ()  # predicted beside measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one input."""

    input: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]  # the most probable classes, most probable first


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far an exported file's outputs are from PyTorch's, at one batch size."""

    batch: int
    largest_difference: float  # absolute, of the class scores
    tolerance: float
    agrees: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An exported model and the proof that it agrees with PyTorch. Written beside the file."""

    format: Literal["onnx", "torch-export"]
    path: str
    bytes: int
    sha256: str
    checked_with: str  # the runtime and its version
    parity: tuple[Parity, ...]
    input_name: str
    input_shape: tuple[int | None, ...]  # None: any
    classes: tuple[str, ...]
    preprocessing: Preprocessing
