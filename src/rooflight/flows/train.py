"""`rooflight train`: a model trained on real data, measured, and predicted beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import to_json
from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.files import new_folder, refuse_taken, write_file
from rooflight.core.runs import EpochRecord, Preprocessing, TrainConfig, TrainResult
from rooflight.core.tables import Report, Table
from rooflight.core.types import GpuSpec
from rooflight.core.units import show_percent, show_rate, show_seconds
from rooflight.flows.compare import PREDICTED_ON, compare_step, comparison_notes, comparison_table
from rooflight.flows.roof import device_name, find_roof
from rooflight.flows.setting import Setting, decide, describe_data, resolved

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from rooflight.data.batches import Batches
    from rooflight.data.images import ImageSet

EVALUATION_BATCH = 500


def train(
    config: TrainConfig, *, out: Path | None = None, roof: GpuSpec | None = None, console: Console | None = None
) -> Report:
    """Train, evaluate on the held-out test set, save, and compare with the prediction.

    out     the run folder; must be new or empty. Default: runs/MODEL-DATE-TIME
    roof    this machine's roofline, where it was measured already
    raises  ConfigError, DataError for what cannot be used: before the folder is made, wherever that can be known
    """
    from rooflight.data.images import load_images, measure_preprocessing
    from rooflight.models.registry import find_model

    console = console or Silent()
    run = out or default_out(config.model)
    refuse_taken(run)
    entry = find_model(config.model)
    if entry.untrained:
        raise ConfigError(f"--model {config.model}: {entry.untrained}. Try rooflight train cnn.")
    channels, height, width = entry.input_shape
    if config.shift >= min(height, width):
        raise ConfigError(f"--shift {config.shift}: {config.model} takes images of {height}×{width}; try 1 or 2.")
    images = load_images(
        config.data, channels=channels, height=height, width=width, data_dir=config.data_dir, notify=console.say
    )
    setting = decide(config, images.info)
    config = resolved(config, setting)
    console.say(describe_data(images.info))
    model, why_layout = build_model(config, len(images.info.classes), setting.device, setting.dtype)
    setting = replace(setting, reasons=(*setting.reasons, why_layout))
    for line in (*setting.reasons, *setting.settings):
        console.say(line)
    preprocessing = measure_preprocessing(images.train_images)

    checkpoint = run / "checkpoints/last.json"
    with new_folder(run, keep=checkpoint.is_file):
        write_file(run / "config.json", to_json(config))
        try:
            result = _fit(config, setting, images, preprocessing, model, run, console)
        except KeyboardInterrupt:
            if checkpoint.is_file():
                console.say(
                    f"{run} keeps the checkpoint of the last whole epoch: rooflight predict {run} IMAGE uses it"
                )
            raise
        write_file(run / "result.json", to_json(result))  # whole, should the comparison be stopped
        console.say("comparing with the prediction")
        dtypes = tuple(dict.fromkeys(("float32", result.dtype)))
        roof = roof or find_roof(setting.device, setting.machine, dtypes, console=console)
        result = replace(result, reasons=(*result.reasons, f"{PREDICTED_ON}{roof.source}"))
        batch = next(iter(_batches(config, setting, images, preprocessing).epoch(0)))
        result = replace(result, comparisons=compare_step(result, setting, model, batch, roof))
        write_file(run / "result.json", to_json(result))
    return Report(answer=result, tables=_tables(result), notes=(*comparison_notes(result), f"run folder: {run}"))


def build_model(config: TrainConfig, classes: int, device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, str]:
    """The model, its weights drawn from the seed, on its device in its layout; and why that one."""
    import torch

    from rooflight.models.registry import find_model
    from rooflight.train.layout import prepare

    torch.manual_seed(config.seed)
    return prepare(find_model(config.model).build(classes), device, dtype)


def default_out(model: str) -> Path:
    """A folder name that is free: runs/cnn-20260131-141500, with a number behind it if need be."""
    base = Path("runs") / f"{Path(model).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(name for name in names if not name.exists())


def _batches(config: TrainConfig, setting: Setting, images: ImageSet, preprocessing: Preprocessing) -> Batches:
    from rooflight.data.batches import Batches

    return Batches(
        images.train_images,
        images.train_labels,
        preprocessing,
        batch=config.batch,
        shift=config.shift,
        flip=setting.flip,
        augmented_epochs=round(config.augment * config.epochs),
        seed=config.seed,
        device=setting.device,
    )


def _test_batches(setting: Setting, images: ImageSet, preprocessing: Preprocessing) -> list[tuple[Tensor, Tensor]]:
    from rooflight.data.preprocess import preprocess

    device = setting.device
    pairs = zip(images.test_images.split(EVALUATION_BATCH), images.test_labels.split(EVALUATION_BATCH), strict=True)
    return [(preprocess(pixels.to(device), preprocessing), labels.to(device)) for pixels, labels in pairs]


def _fit(
    config: TrainConfig,
    setting: Setting,
    images: ImageSet,
    preprocessing: Preprocessing,
    model: nn.Module,
    run: Path,
    console: Console,
) -> TrainResult:
    import torch

    from rooflight.hardware.environment import environment
    from rooflight.train.device import dtype_name
    from rooflight.train.fit import fit

    classes = images.info.classes
    record_epoch = _recorder(run, model, config.model, classes, preprocessing)
    total = config.epochs * len(images.train_labels)
    with console.bar(f"train {config.model}", total, "samples") as advance:

        def epoch_done(record: EpochRecord) -> None:
            record_epoch(record)
            advance(0, f"epoch {record.epoch}/{config.epochs}, test accuracy {show_percent(record.test_accuracy)}")

        measured = fit(
            model,
            _batches(config, setting, images, preprocessing),
            _test_batches(setting, images, preprocessing),
            config,
            dtype=setting.dtype,
            classes=len(classes),
            on_step=advance,
            on_epoch=epoch_done,
        )
    device = device_name(setting.device, setting.machine)
    return TrainResult(
        run=str(run),
        config=config,
        data=images.info,
        preprocessing=preprocessing,
        device=device,
        dtype=dtype_name(setting.dtype),
        reasons=setting.reasons,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=measured.steps,
        samples_per_second=measured.samples_per_second,
        step_seconds=measured.step_seconds,
        first_step_seconds=measured.first_step_seconds,
        evaluation=measured.evaluation,
        epochs=measured.records,
        environment=environment(device, threads=torch.get_num_threads(), settings=setting.settings),
    )


def _recorder(
    run: Path, model: nn.Module, name: str, classes: tuple[str, ...], preprocessing: Preprocessing
) -> Callable[[EpochRecord], None]:
    """After each epoch: a checkpoint, a line of metrics.jsonl, a TensorBoard event."""
    from rooflight.train.checkpoint import save_checkpoint
    from rooflight.train.events import EventWriter

    events = EventWriter(run)

    def record_epoch(record: EpochRecord) -> None:
        save_checkpoint(model, run, name=name, classes=classes, preprocessing=preprocessing, epoch=record.epoch)
        with (run / "metrics.jsonl").open("a") as file:
            file.write(to_json(record, indent=None) + "\n")
        values = {
            "loss/train": record.train_loss,
            "loss/test": record.test_loss,
            "accuracy/train": record.train_accuracy,
            "accuracy/test": record.test_accuracy,
            "learning_rate": record.lr,
            "samples_per_second": record.samples_per_second,
        }
        events.scalars(record.step, values)

    return record_epoch


def _tables(result: TrainResult) -> tuple[Table, ...]:
    rows = (
        ("test accuracy", f"{show_percent(result.evaluation.accuracy)} of {result.evaluation.count:,} held-out images"),
        ("throughput", f"{show_rate(result.samples_per_second)}, {show_seconds(result.step_seconds)} a step"),
        ("first step after", show_seconds(result.first_step_seconds)),
        ("trained", f"epochs: {result.config.epochs}, steps: {result.steps:,}, parameters: {result.parameters:,}"),
    )
    return Table(columns=("result", ""), rows=rows), comparison_table(result.comparisons)
