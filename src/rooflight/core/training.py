"""Everything that decides a training run."""

from dataclasses import dataclass
from typing import Literal

from rooflight.core.errors import ConfigError
from rooflight.core.settings import check_counts, check_shares, setting

DtypeName = Literal["auto", "float32", "tfloat32", "bfloat16", "float16", "float8"]
LEAST = {
    "epochs": 1,
    "batch": 1,
    "micro_batch": 1,
    "shift": 0,
    "seed": 0,
    "patience": 0,
    "workers": 0,
    "checkpoint_every": 0,
    "log_every": 0,
    "keep": 1,
    "layers": 1,
    "units": 1,
    "words": 3,
    "length": 1,
    "fine_tune": 0,
    "views": 1,
    "image_size": 1,
    "tensor": 1,
    "pipeline": 1,
}
NOT_NEGATIVE = ("weight_decay", "momentum", "clip", "spike")
POSITIVE = ("lr", "fine_tune_lr", "peer_timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides a training run. The resolved one is stored in the run folder and can be fed back in."""

    model: str = setting("cnn", "what to train: cnn, lstm, transfer:vgg16, path/to/file.py:build, path/to/it.keras")
    data: str = setting("bundled", "bundled, fashion-mnist, mnist, a folder of class folders, or an .npz file")
    data_dir: str | None = setting(None, "where a named data set is looked for first")
    epochs: int = setting(5, "passes over the training set")
    batch: int = setting(64, "samples per step, of all GPUs together")
    micro_batch: int | None = setting(None, "samples through the model at once [default: the batch, or what fits]")
    # How a step learns
    lr: float = setting(3e-3, "learning rate; the highest one of a cycle")
    optimizer: Literal["adam", "adamw", "sgd"] = setting("adam", "the optimizer")
    weight_decay: float = setting(0.0, "decay of the weights: decoupled for adamw, else added to the gradient")
    momentum: float = setting(0.9, "of sgd")
    schedule: Literal["one-cycle", "cosine", "constant"] = setting("one-cycle", "learning rate over the run")
    warm_up: float | None = setting(
        None, "share of the steps over which the rate rises [default: 0.2 of one-cycle, else 0]"
    )
    clip: float = setting(0.0, "largest norm of the gradient; 0: not clipped")
    label_smoothing: float = setting(0.0, "share of a label that is spread over all classes")
    class_weights: Literal["none", "balanced"] = setting("none", "balanced: rare classes count as much as common ones")
    ema: float = setting(0.0, "decay of an average of the weights, which is evaluated and kept; 0: none")
    # When it stops
    validation: float = setting(0.0, "share of the training samples that is held out for --patience")
    patience: int = setting(0, "epochs without a better validation loss before it stops; 0: never")
    spike: float = setting(0.0, "stop when the loss is this many times its running mean; 0: never")
    find_lr: bool = setting(False, "try learning rates first, and take the one it finds")
    # What it sees
    shift: int = setting(1, "largest random shift of an image, in pixels; 0: none")
    flip: bool | None = setting(None, "mirror half of the images; default: yes, unless the classes are digits")
    augment: float = setting(0.6, "share of the run, from its start, whose images are augmented")
    augmentation: str = setting(
        "shift",
        "shift (and mirror); or imagenet, randaugment, trivialaugment, jitter, joined by commas; or a .json file",
    )
    max_bad: float = setting(0.05, "largest share of broken image files to go on with, 0 up to but not including 1")
    storage: Literal["auto", "memory", "disk"] = setting(
        "auto", "where a folder's training images wait: decoded in memory, or on disk; auto: memory, if they fit"
    )
    workers: int | None = setting(None, "threads that read and decode from disk [default: the cores, 16 at most]")
    decode: Literal["auto", "workers", "gpu"] = setting(
        "auto", "who decodes JPEG files from disk: workers, or an NVIDIA GPU; auto: the faster, by measuring"
    )
    # How it is computed
    dtype: DtypeName = setting("auto", "dtype of the matrix products (autocast)")
    compile: Literal["auto", "off", "on", "graphs"] = setting(
        "auto", "torch.compile, or CUDA graphs of whole steps; auto: when it pays back within the run"
    )
    deterministic: bool = setting(False, "only kernels that give the same bits each time; slower")
    device: str = setting("auto", "auto, cpu, cuda or cuda:1")
    seed: int = setting(0, "seed of weights, shuffling and augmentation")
    checkpoint_every: int = setting(0, "steps between checkpoints; 0: one after each epoch")
    keep: int = setting(2, "checkpoints that are kept")
    log_every: int = setting(50, "steps between lines of steps.jsonl, and points in TensorBoard; 0: none")
    # lstm
    cell: Literal["lstm", "gru"] = setting("lstm", "of the recurrent model")
    layers: int = setting(1, "of the recurrent model")
    units: int = setting(128, "of each recurrent layer, and of the embedding")
    words: int = setting(1000, "of the vocabulary")
    length: int = setting(20, "words, or characters, that the recurrent model reads")
    level: Literal["word", "character"] = setting("word", "what a token of the text is")
    # transfer
    weights: str | None = setting(None, "file of the base's weights, or random [default: the hub's]")
    head: Literal["auto", "flatten", "pooled"] = setting("auto", "flatten: Flatten, Dense 256; pooled: average")
    fine_tune: int = setting(0, "blocks of the base, from the top, that are trained after the head")
    fine_tune_lr: float = setting(1e-5, "learning rate of those blocks")
    views: int = setting(1, "augmented views of each image whose features are kept")
    image_size: int | None = setting(None, "height and width of an image [default: the model's own]")
    # Many GPUs: with torchrun
    parallel: Literal["auto", "ddp", "fsdp"] = setting("auto", "what ranks share; auto: ddp")
    tensor: int = setting(1, "GPUs that share each matrix product")
    pipeline: int = setting(1, "GPUs that the layers are spread over")
    peer_timeout: float = setting(300.0, "seconds after which a silent process of the run counts as gone")

    def __post_init__(self) -> None:
        check_counts(self, LEAST)
        check_shares(self, ("augment", "warm_up"), whole=True)
        check_shares(self, ("max_bad", "ema", "label_smoothing", "validation"), whole=False)
        for name in (*NOT_NEGATIVE, *POSITIVE):
            value, positive = getattr(self, name), name in POSITIVE
            if not 0 <= value < float("inf") or (positive and not value):
                least = "above 0" if positive else "0 or more"
                raise ConfigError(f"--{name.replace('_', '-')} {value:g}: it must be {least}.")
        if self.micro_batch is not None and self.micro_batch > self.batch:
            raise ConfigError(f"--micro-batch {self.micro_batch} is more than the whole batch of {self.batch}.")
        if self.patience and not self.validation:
            raise ConfigError(
                f"--patience {self.patience} needs held-out samples, for the test set decides nothing. "
                "Try --validation 0.1."
            )
