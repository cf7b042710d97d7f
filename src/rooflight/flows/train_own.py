"""The user's own model: a Python file's, Keras's, or a library's from scratch; on images, or on arrays of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, DataError
from rooflight.core.files import sha256, write_file
from rooflight.core.runs import Checkpoint, OwnModel
from rooflight.core.training import TrainConfig
from rooflight.flows.family import Family, Found, Reads, TrainData, handed_over
from rooflight.flows.setting import Setting
from rooflight.flows.train_images import EVALUATION_BATCH, find_data, first_test_images, image_batches, split, stated

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.data.arrays import ArraySet
    from rooflight.data.images import ImageSet
    from rooflight.data.loader.files import FolderSet
    from rooflight.models.own import Own
    from rooflight.train.loss import Loss

PROBED = 2  # real samples that a model sees before anything is written
KEPT = {".py": "model.py", ".keras": "model.keras"}  # the file's name in the run folder
NAMED = ("bundled", "fashion-mnist", "mnist")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnData:
    """A user's model, what is known of it, and its data."""

    own: Own
    samples: ImageSet | FolderSet | ArraySet
    about: OwnModel
    images: bool  # the samples are images, which come to the model normalised, as (N, C, H, W)


def find(config: TrainConfig, console: Console) -> Found:
    """The model named by config.model, built once to see that it fits the data."""
    return _found(config, console, None)


def _found(config: TrainConfig, console: Console, beside: Path | None) -> Found:
    from rooflight.models.own import find_own

    own = find_own(config.model, image_size=config.image_size, beside=beside)
    shape = _image_shape(own, config.data)
    if shape is None:
        return check(own, _arrays(own, config), (), images=False)
    return check(own, *find_data(config, shape, console), images=True)


def check(own: Own, samples: Any, reasons: tuple[str, ...], *, images: bool) -> Found:
    """The model run on two real samples, and what it was seen to give.

    raises  ConfigError, ShapeError for a model that does not fit the data, in one sentence
    """
    from rooflight.models.scores import find_outputs

    classes = len(samples.info.classes)
    model, note = own.make(classes or None, images)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            f"{own.name} has no parameter that is trained. Try requires_grad_(True) on some of its layers."
        )
    places = {str(parameter.device) for parameter in model.parameters()}
    if places != {"cpu"}:
        raise ConfigError(
            f"{own.name} is on {', '.join(sorted(places))}. Try building it on the CPU: --device moves it."
        )
    batch = _probe_batch(own, samples, images)
    outputs, plain = find_outputs(model, batch, classes, own.name)
    if own.loss is not None:
        if not plain:
            raise ConfigError(f"{own.name} has a LOSS, and gives no single tensor for it. Try returning one.")
        outputs = "scores" if classes else "values"
    about = OwnModel(
        input_shape=tuple(batch.shape[1:]),
        input_dtype=own.input_dtype,
        outputs=outputs,
        wrapped=not plain or outputs not in ("scores", "values"),
        file=KEPT[own.file.suffix] if own.file else None,
        sha256=sha256(own.file) if own.file else None,
        folder=str(own.file.parent.resolve()) if own.file else None,
    )
    found = OwnData(own=own, samples=samples, about=about, images=images)
    told = {"probabilities": "probabilities, of which the loss takes the logarithm", "probability": "a probability"}
    why = (f"the model gives {told[outputs]}",) if outputs in told else ()
    return Found(data=found, info=samples.info, reasons=(*reasons, *((note,) if note else ()), *why))


def prepare(found: Found, config: TrainConfig, setting: Setting) -> TrainData:
    """Batches for training and evaluation."""
    from rooflight.train.loss import MeanSquaredError, OwnLoss

    data: OwnData = found.data
    loss: Loss | None = OwnLoss(data.own.loss) if data.own.loss else None
    if data.images:
        ready = image_batches(data.samples, config, setting, data.own.pixels)  # type: ignore[arg-type]
    else:
        ready = _array_batches(data.samples, config, setting)  # type: ignore[arg-type]
        loss = loss or (None if ready.reads.classes else MeanSquaredError())
    return replace(ready, reads=replace(ready.reads, own=data.about), loss=loss)


def build(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
    """The model, which gives scores or values. config.model: for a trained one, the copy in its run folder"""
    from rooflight.models.own import find_own

    # A copy may import what lies beside the file that it was copied from.
    beside = Path(reads.own.folder) if reads.own and reads.own.folder else None
    own = find_own(config.model, image_size=config.image_size, beside=beside)
    model, _ = own.make(len(reads.classes) or None, reads.preprocessing is not None)
    return as_seen(model, reads, own.name)


def as_seen(model: nn.Module, reads: Reads, name: str) -> nn.Module:
    """The model with its outputs turned into scores, where it was seen to give something else."""
    from rooflight.models.scores import Scores

    assert reads.own is not None
    return Scores(model, reads.own.outputs, name) if reads.own.wrapped else model


OWN = Family(find=find, prepare=prepare, build=build)


def keep_source(config: TrainConfig, reads: Reads, run: Path) -> None:
    """Copy the user's file into the run folder, so that the run can be used wherever the folder goes.

    raises  ConfigError if the file has changed since the run read it
    """
    if reads.own is None or reads.own.file is None:
        return
    source = Path(config.model.rpartition(":")[0] if ".py:" in config.model else config.model)
    write_file(run / reads.own.file, source.read_bytes())
    if sha256(run / reads.own.file) != reads.own.sha256:
        raise ConfigError(f"{source} changed while the run began. Try again.")


def kept_config(checkpoint: Checkpoint, run: Path) -> TrainConfig:
    """The run's configuration with its model named by the copy in the run folder.

    raises  ConfigError for a model that was handed over in Python; DataError if the copy is missing or was changed
    """
    config, own = checkpoint.config, checkpoint.own
    if own is None:
        return config
    if own.file is None:
        if ":" not in config.model:
            raise ConfigError(
                f"{run}: its model was handed over in Python, and no file builds it. Try the model's own "
                "load_state_dict with the weights in it."
            )
        return config
    copy = run / Path(own.file).name
    if not copy.is_file() or sha256(copy) != own.sha256:
        raise DataError(
            f"{copy} is missing, or is no longer the file that was trained. Try {config.model} again, or the copy as "
            "it was."
        )
    function = config.model.rpartition(":")[2] if copy.suffix == ".py" else ""
    return replace(config, model=f"{copy}:{function}" if function else str(copy))


@contextmanager
def from_copy(checkpoint: Checkpoint, run: Path) -> Iterator[None]:
    """While the body runs, a run of the user's own model builds it from the copy in the run folder.

    The file itself may have been changed since, or be gone. Of any other run nothing is changed.
    raises  DataError if the copy is missing or was changed
    """
    about = checkpoint.own
    if about is None or about.file is None:
        yield
        return
    copy = kept_config(checkpoint, run).model
    beside = Path(about.folder) if about.folder else None

    def find_copy(config: TrainConfig, console: Console) -> Found:
        found = _found(replace(config, model=copy), console, beside)
        return replace(found, data=replace(found.data, about=about))

    def build_copy(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
        return build(replace(config, model=copy), reads, fresh)

    with handed_over(Family(find=find_copy, prepare=prepare, build=build_copy)):
        yield


def first_test_arrays(config: TrainConfig, about: OwnModel, count: int) -> Tensor:
    """Up to `count` test samples of a run on arrays."""
    from rooflight.data.arrays import read_arrays
    from rooflight.data.sources import expand

    return read_arrays(expand(config.data), about.input_dtype).test_x[:count]


def _image_shape(own: Own, data: str) -> tuple[int, int, int] | None:
    """(C, H, W) if the model and the data are of images; None for arrays."""
    from rooflight.data.arrays import dtype_in
    from rooflight.data.sources import expand

    path = expand(data)
    pixels = "uint8", None  # None: what it is, the reader of images says
    if (
        path.suffix == ".npz"
        and path.is_file()
        and (own.image_shape is None or dtype_in(path, "x_train") not in pixels)
    ):
        return None
    if own.image_shape is not None:
        return own.image_shape
    if data in NAMED or path.is_dir():
        needs = "does not say what one image looks like" if own.input_shape is None else "takes no images"
        raise ConfigError(
            f"{own.name} {needs}, and --data {data} is images. Try INPUT_SHAPE = (3, 224, 224) in its file, or an .npz "
            "file of arrays."
        )
    return None


def _arrays(own: Own, config: TrainConfig) -> ArraySet:
    from rooflight.data.arrays import read_arrays
    from rooflight.data.sources import expand

    if config.shift != type(config)().shift and config.shift:
        raise ConfigError(f"--shift {config.shift} is of images, and --data {config.data} is arrays. Try without it.")
    samples = read_arrays(expand(config.data), own.input_dtype)
    if own.input_shape is not None and tuple(samples.train_x.shape[1:]) != own.input_shape:
        raise DataError(
            f"--data {config.data} has samples of shape {tuple(samples.train_x.shape[1:])}, {own.name} takes "
            f"{own.input_shape}. Try another INPUT_SHAPE."
        )
    return samples


def _probe_batch(own: Own, samples: Any, images: bool) -> Tensor:
    from rooflight.data.images import measure_preprocessing
    from rooflight.data.preprocess import preprocess

    if not images:
        found: Tensor = samples.test_x[:PROBED]
        return found
    pixels = first_test_images(samples, PROBED)
    channels, height, width = pixels.shape[1:]
    how = stated(channels, height, width, own.pixels) if own.pixels else measure_preprocessing(pixels)
    return preprocess(pixels, how)


def _array_batches(samples: ArraySet, config: TrainConfig, setting: Setting) -> TrainData:
    from rooflight.data.arrays import ArrayBatches

    trained, held_out = split(len(samples.train_y), config)
    train_x, train_y = samples.train_x, samples.train_y
    if len(held_out):
        train_x, train_y = train_x[trained], train_y[trained]

    def evaluated(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        x, y = x.to(setting.device), y.to(setting.device)
        return list(zip(x.split(EVALUATION_BATCH), y.split(EVALUATION_BATCH), strict=True))

    return TrainData(
        info=samples.info,
        reads=Reads(classes=samples.info.classes),
        batches=ArrayBatches(
            train_x,
            train_y,
            batch=config.batch,
            seed=config.seed,
            device=setting.device,
            rank=setting.rank,
            world_size=setting.replicas,
        ),
        test_batches=evaluated(samples.test_x, samples.test_y),
        validation=evaluated(samples.train_x[held_out], samples.train_y[held_out]) if len(held_out) else None,
        labels=(lambda: train_y) if samples.info.classes else None,
    )
