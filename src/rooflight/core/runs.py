"""What a run is made of: its configuration, its data, its results and the files that it leaves. All of it is JSON."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rooflight.core.errors import ConfigError
from rooflight.core.training import TrainConfig
from rooflight.core.types import Comparison, Environment


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
    samples: str = "images"  # what they are called


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
class TextInput:
    """From a text to the model's input: what a token is, and which number it has."""

    level: Literal["word", "character"]
    words: tuple[str, ...]  # a word's place is its token id
    length: int  # tokens that the model was trained to read


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """A user's own model: what it takes and gives, and the copy of its file in the run folder."""

    input_shape: tuple[int, ...]  # of one sample, as the model itself takes it
    input_dtype: Literal["float32", "int64"]
    outputs: Literal["scores", "probabilities", "logit", "probability", "values"]  # of a sample: (K,), the middle two 1
    wrapped: bool = False  # its outputs are turned into scores, and its weights are named "model.…"
    file: str | None = None  # in the run folder; None: a model of a library, or one that was handed over in Python
    sha256: str | None = None  # of that file
    folder: str | None = None  # where the file was: it may import what lies beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Trained weights and all that is needed to use them. Stored as JSON beside the safetensors file that it names."""

    weights: str  # file name, beside this document
    weights_sha256: str
    config: TrainConfig  # what the model was built from
    classes: tuple[str, ...]
    epoch: int
    parameters: int
    preprocessing: Preprocessing | None = None  # of a model that takes images
    text: TextInput | None = None  # of a model that takes texts
    own: OwnModel | None = None  # of a user's own model
    step: int = 0  # updates of the weights so far
    data_sha256: str | None = None  # of DataInfo: a resume on other data is refused
    state: Mapping[str, Any] = field(default_factory=dict, repr=False)  # of train.state: what of a run is no tensor
    same: Mapping[str, str] = field(default_factory=dict, repr=False)  # the run's tensors that are the weights' too

    @property
    def model(self) -> str:
        """The model's name."""
        return self.config.model

    @property
    def pixels(self) -> Preprocessing:
        """The preprocessing of a model that takes images; raises ConfigError for another."""
        if self.preprocessing is None:
            if self.text is None:
                raise ConfigError(f"{self.model} takes arrays, not images. Try a .npy file.")
            raise ConfigError(f"{self.model} reads text, not images. Try rooflight predict RUN --prompt TEXT.")
        return self.preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Accuracy on the held-out test set, which is never trained on and never chooses anything."""

    accuracy: float | None  # None: there are no classes, and the loss is all there is
    loss: float
    count: int
    confusion: tuple[tuple[int, ...], ...]  # [true class][predicted class]; empty without classes, or with very many

    def __post_init__(self) -> None:
        if any(len(row) != len(self.confusion) for row in self.confusion):
            raise ConfigError("a confusion matrix must have as many columns as rows.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One line of metrics.jsonl."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float | None  # None: there are no classes
    test_loss: float
    test_accuracy: float | None
    lr: float
    samples_per_second: float  # training steps only, without evaluation
    seconds: float  # since the first step
    validation_loss: float | None = None  # of the held-out part of the training set, where there is one
    # How the epoch's steps went; None: not known
    step_seconds: float | None = None  # of a step alone: forward, loss, backward, update; the mean
    data_wait_share: float | None = None  # of the time of steps and batches: waiting for batches
    mfu: float | None = None
    memory_share: float | None = None  # bytes that operators move over the memory's rate; above 1 where caches serve
    watts: float | None = None  # of the device, evaluation and saving included


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a training run found. Stored as result.json in the run folder."""

    run: str  # the folder
    config: TrainConfig
    data: DataInfo
    preprocessing: Preprocessing | None  # of images
    device: str
    dtype: str
    reasons: tuple[str, ...]  # why each automatic choice was made
    parameters: int
    steps: int
    samples_per_second: float  # median over the epochs
    step_seconds: float  # of a step alone: forward, loss, backward, update; median over the last steps
    first_step_seconds: float  # from the start of training to the end of the first step
    evaluation: Evaluation
    epochs: tuple[EpochRecord, ...]
    environment: Environment
    comparisons: tuple[Comparison, ...] = ()  # predicted beside measured
    epoch_step_seconds: float | None = None  # an epoch's seconds over its steps: with the making of batches
    mfu: float | None = None  # at samples_per_second, of the dense peak, or of the measured one where none is published
    memory_share: float | None = None  # of the memory's rate; above 1 where caches serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of one input."""

    input: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]  # the most probable classes, most probable first


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What a model without classes gives for one input."""

    input: str
    values: tuple[float, ...]


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
    preprocessing: Preprocessing | None  # of images
