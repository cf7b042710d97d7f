"""`rooflight train`: a model trained on real data, measured, and predicted beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rooflight.core.codec import to_json
from rooflight.core.console import Console, Silent
from rooflight.core.errors import TraceError
from rooflight.core.files import new_folder, refuse_taken, write_file
from rooflight.core.live import Yardstick
from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.tables import Report, Table
from rooflight.core.training import TrainConfig
from rooflight.core.types import GpuSpec, Trace
from rooflight.core.units import show_percent, show_rate, show_seconds
from rooflight.flows.compare import compare_step, comparison_notes, comparison_table, predicted_on
from rooflight.flows.family import Reads, TrainData, build_model, family_of
from rooflight.flows.live import describe_yardstick, watching, yardstick_of
from rooflight.flows.roof import device_name, find_roof
from rooflight.flows.setting import Setting, decide, describe_bad, describe_data, resolved
from rooflight.flows.train_own import keep_source
from rooflight.flows.train_tuning import loss_of, set_kernels, tune

if TYPE_CHECKING:
    from torch import nn

    from rooflight.train.events import EventWriter
    from rooflight.train.loss import Loss
    from rooflight.train.state import Place, TrainState
    from rooflight.train.step import Done


def train(
    config: TrainConfig, *, out: Path | None = None, roof: GpuSpec | None = None, console: Console | None = None
) -> Report:
    """Train, evaluate on the held-out test set, save, and compare with the prediction.

    out     the run folder; must be new or empty. Default: runs/MODEL-DATE-TIME
    roof    this machine's roofline, where it was measured already
    raises  ConfigError, DataError for what cannot be used: before the folder is made, wherever that can be known
    """
    console = console or Silent()
    run = out or default_out(config.model)
    refuse_taken(run)
    family = family_of(config)
    found = family.find(config, console)
    setting = decide(config, found.info)
    config = resolved(config, setting)
    console.say(describe_data(found.info))
    set_kernels(config)
    data = family.prepare(found, config, setting)
    model, why_layout = ready_model(config, data.reads, setting)
    loss = loss_of(config, data, setting)
    traced = trace_or_none(config, data, setting, loss)
    config, tuned = tune(config, data, model, setting, loss, traced, console)
    yardstick = yardstick_of(setting, traced, roof)
    shares = describe_yardstick(yardstick, setting.precision)
    setting = replace(setting, reasons=(*setting.reasons, why_layout, *found.reasons, *data.reasons, *tuned, shares))
    for line in (*setting.reasons, *setting.settings):
        console.say(line)

    checkpoint = run / "checkpoints/last.json"
    with new_folder(run, keep=checkpoint.is_file):
        write_file(run / "config.json", to_json(config))
        keep_source(config, data.reads, run)
        try:
            result = _fit(config, setting, data, model, loss, run, console, yardstick)
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
        result = replace(result, reasons=(*result.reasons, predicted_on(roof)))
        batch = next(iter(data.batches.epoch(1)))
        result = replace(result, comparisons=compare_step(result, setting, model, data.reads, loss, batch, roof))
        write_file(run / "result.json", to_json(result))
    return Report(answer=result, tables=_tables(result), notes=(*comparison_notes(result), f"run folder: {run}"))


def trace_or_none(config: TrainConfig, data: TrainData, setting: Setting, loss: Loss) -> Trace | None:
    """The trace of the run's step; None for a model whose path depends on its input."""
    from rooflight.flows.train_trace import trace_step

    batch = next(iter(data.batches.epoch(1)))
    try:
        return trace_step(config, data.reads, batch, loss, setting.device.type)
    except TraceError:
        return None


def ready_model(config: TrainConfig, reads: Reads, setting: Setting) -> tuple[nn.Module, str]:
    """The model with its first weights, on its device in its layout; and why that one."""
    from rooflight.train.layout import prepare
    from rooflight.train.precision import to_float8

    model = build_model(config, reads, fresh=True)
    if config.dtype == "float8":
        model = to_float8(model)
    return prepare(model, setting.device, setting.dtype)


def default_out(model: str) -> Path:
    """A folder name that is free: runs/cnn-20260131-141500, with a number behind it if need be."""
    base = Path("runs") / f"{Path(model).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(name for name in names if not name.exists())


def _fit(
    config: TrainConfig,
    setting: Setting,
    data: TrainData,
    model: nn.Module,
    loss: Loss,
    run: Path,
    console: Console,
    yardstick: Yardstick,
) -> TrainResult:
    import torch

    from rooflight.hardware.environment import environment
    from rooflight.train.events import EventWriter
    from rooflight.train.fit import Hooks, fit
    from rooflight.train.optimizer import rate_share

    classes = data.reads.classes
    events = EventWriter(run)
    record_epoch = _recorder(run, events)
    share = rate_share(config, config.epochs * len(data.batches))
    total = config.epochs * data.info.train_count
    with (
        console.bar(f"train {config.model}", total, "samples") as advance,
        watching(
            run,
            setting,
            yardstick,
            lr=lambda step: config.lr * share(step),
            log_every=config.log_every,
            events=events,
            console=console,
            show=lambda words: advance(0, live=words),
        ) as watcher,
    ):

        def epoch_done(record: EpochRecord) -> None:
            record_epoch(record)
            advance(
                0,
                f"epoch {record.epoch}/{config.epochs}, {' '.join(_how_well(record.test_accuracy, record.test_loss))}",
            )

        def step_done(before: Place, samples: int, done: Done) -> None:
            watcher.step_done(step=before.step + 1, epoch=before.epoch, samples=samples, loss=lambda: done.mean)
            advance(samples)

        def save(state: TrainState) -> None:
            _save(state, run, config, data.reads)
            watcher.interrupt()

        def halved(samples: int) -> None:
            console.say(f"out of memory: the step is repeated with micro-batches of {samples}")

        measured = fit(
            model,
            watcher.batches(data.batches),
            data.test_batches,
            config,
            dtype=setting.dtype,
            classes=len(classes),
            loss=loss,
            validation=data.validation,
            hooks=Hooks(
                on_step=step_done,
                on_epoch=epoch_done,
                on_save=save,
                on_halved=halved,
                pace=watcher.epoch_pace,
            ),
        )
        step_seconds = watcher.step_seconds() or measured.step_seconds
    device = device_name(setting.device, setting.machine)
    return TrainResult(
        run=str(run),
        config=config,
        data=replace(data.info, bad=data.bad()),
        preprocessing=data.reads.preprocessing,
        device=device,
        dtype=setting.precision,
        reasons=setting.reasons,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        steps=measured.steps,
        samples_per_second=measured.samples_per_second,
        step_seconds=step_seconds,
        epoch_step_seconds=measured.step_seconds,
        first_step_seconds=measured.first_step_seconds,
        evaluation=measured.evaluation,
        epochs=measured.records,
        environment=environment(device, threads=torch.get_num_threads(), settings=setting.settings),
    )


def _save(state: TrainState, run: Path, config: TrainConfig, reads: Reads) -> None:
    from rooflight.train.checkpoint import save_checkpoint

    save_checkpoint(
        state.weights(),
        run,
        config=config,
        classes=reads.classes,
        preprocessing=reads.preprocessing,
        text=reads.text,
        own=reads.own,
        epoch=len(state.records),
        parameters=sum(parameter.numel() for parameter in state.model.parameters()),
    )


def _recorder(run: Path, events: EventWriter) -> Callable[[EpochRecord], None]:
    """After each epoch: a line of metrics.jsonl, a TensorBoard event."""

    def record_epoch(record: EpochRecord) -> None:
        with (run / "metrics.jsonl").open("a") as file:
            file.write(to_json(record, indent=None) + "\n")
        values = {
            "loss/train": record.train_loss,
            "loss/test": record.test_loss,
            "learning_rate": record.lr,
            "samples_per_second": record.samples_per_second,
        }
        more = {
            "accuracy/train": record.train_accuracy,
            "accuracy/test": record.test_accuracy,
            "loss/validation": record.validation_loss,
            "mfu": record.mfu,
            "memory_share": record.memory_share,
            "data_wait_share": record.data_wait_share,
            "watts": record.watts,
        }
        values |= {tag: value for tag, value in more.items() if value is not None}
        events.scalars(record.step, values)

    return record_epoch


def _how_well(accuracy: float | None, loss: float) -> tuple[str, str]:
    """The figure of held-out samples, and its name: without classes, the loss is all there is."""
    return ("test loss", f"{loss:.4g}") if accuracy is None else ("test accuracy", show_percent(accuracy))


def _tables(result: TrainResult) -> tuple[Table, ...]:
    tested, images = result.evaluation, "images" if result.preprocessing else "samples"
    name, figure = _how_well(tested.accuracy, tested.loss)
    rows: tuple[tuple[str, str], ...] = (
        (name, f"{figure} of {tested.count:,} held-out {images}"),
        ("throughput", f"{show_rate(result.samples_per_second)}: whole epochs, {_epoch_step(result)}"),
        ("step", f"{show_seconds(result.step_seconds)}: forward, loss, backward, update; median of the last steps"),
        ("first step after", show_seconds(result.first_step_seconds)),
        ("trained", f"epochs: {result.config.epochs}, steps: {result.steps:,}, parameters: {result.parameters:,}"),
    )
    if result.epochs and result.epochs[-1].mfu is not None:
        rows += (("roofline", _shares(result.epochs[-1])),)
    if result.data.bad:
        rows += (("left out", describe_bad(result.data)),)
    return Table(columns=("result", ""), rows=rows), comparison_table(result.comparisons)


def _epoch_step(result: TrainResult) -> str:
    waits = [record.data_wait_share for record in result.epochs if record.data_wait_share is not None]
    told = f"{show_seconds(result.epoch_step_seconds)} a step"
    return f"{told}, {show_percent(median(waits))} of it waiting for batches" if waits else told


def _shares(record: EpochRecord) -> str:
    memory = f", memory {show_percent(record.memory_share)}" if record.memory_share is not None else ""
    watts = f", {record.watts:.0f} W" if record.watts is not None else ""
    return f"MFU {show_percent(record.mfu)}{memory}{watts} in the last epoch"
