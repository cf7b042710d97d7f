"""`rooflight train`: a model trained on real data, measured, and predicted beside it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rooflight.core.codec import read_json, to_json
from rooflight.core.console import Console, Silent
from rooflight.core.errors import TraceError
from rooflight.core.files import new_folder, refuse_taken, write_file
from rooflight.core.live import Yardstick
from rooflight.core.lock import hold
from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.tables import Report, Table
from rooflight.core.training import TrainConfig
from rooflight.core.types import GpuSpec, Trace
from rooflight.core.units import show_percent, show_rate, show_seconds
from rooflight.flows.checkpoint import read_result
from rooflight.flows.compare import compare_step, comparison_notes, comparison_table, predicted_on
from rooflight.flows.family import Reads, TrainData, build_model, family_of
from rooflight.flows.live import describe_yardstick, watching, yardstick_of
from rooflight.flows.roof import device_name, find_roof
from rooflight.flows.setting import Setting, decide, describe_bad, describe_data, resolved
from rooflight.flows.train_own import from_copy, keep_source
from rooflight.flows.train_ranks import (
    begun_before,
    in_form,
    open_ranks,
    same_checkpoint,
    same_folder,
    shared,
    speaks,
    take_part,
)
from rooflight.flows.train_saving import (
    describe_changes,
    go_on_from,
    has_whole_checkpoint,
    metrics_line,
    resumed_config,
    samples_so_far,
    saving,
)
from rooflight.flows.train_tuning import loss_of, set_kernels, tune

if TYPE_CHECKING:
    from torch import nn

    from rooflight.train.checkpoint.read import Resumable
    from rooflight.train.events import EventWriter
    from rooflight.train.loop import EpochBatches
    from rooflight.train.loss import Loss
    from rooflight.train.optimizer import Group
    from rooflight.train.ranks import Ranks
    from rooflight.train.state import Place, TrainState
    from rooflight.train.step import Done

LEAST_SHOWN = 5e-4  # of the roofline: a share that would print as nothing says nothing
LARGEST_LOSS = 700.0  # whose exponential is still a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that a run needs, before its first step."""

    config: TrainConfig  # resolved
    setting: Setting
    data: TrainData
    model: nn.Module  # in the ranks' form
    parameters: int  # of the whole model
    groups: Sequence[Group] | None  # parameters with their learning rates; None: all with config.lr
    loss: Loss
    traced: Trace | None  # of a step on one device
    ranks: Ranks
    yardstick: Yardstick


def train(
    config: TrainConfig,
    *,
    out: Path | None = None,
    roof: GpuSpec | None = None,
    console: Console | None = None,
    observe: Callable[[EpochBatches, Path], EpochBatches] | None = None,
    compare: bool = True,
) -> Report:
    """Train, evaluate on the held-out test set, save, and compare with the prediction.

    out      the run folder; must be new or empty. Default: runs/MODEL-DATE-TIME
    roof     this machine's roofline, where it was measured already
    observe  what the batches pass through on their way into the run, given its folder
    compare  with the prediction
    raises   ConfigError, DataError for what cannot be used: before the folder is made, wherever that can be known
    """
    with open_ranks(config) as (config, ranks):
        console = speaks(ranks, console or Silent())
        run = same_folder(ranks, out or default_out(config.model))
        if begun_before(ranks, out):
            return _go_on(run, config, ranks, roof, console, observe, compare)
        if ranks.is_main:
            refuse_taken(run)
        ready = make_ready(config, run, ranks, roof, console)
        if not ranks.is_main:
            return take_part(ready)
        with new_folder(run, keep=lambda: has_whole_checkpoint(run)), hold(run):
            write_file(run / "config.json", to_json(ready.config))
            keep_source(ready.config, ready.data.reads, run)
            return _train(ready, run, roof, console, observe=observe, compare=compare)


def resume(
    run: Path,
    given: dict[str, Any],
    *,
    roof: GpuSpec | None = None,
    console: Console | None = None,
    observe: Callable[[EpochBatches, Path], EpochBatches] | None = None,
    compare: bool = True,
) -> Report:
    """Go on with a run that was stopped, from its newest whole checkpoint, as if it never had been.

    given   settings that are to differ
    raises  ConfigError if another process has the run, or a setting would train something else; DataError if there
            are checkpoints and none is whole
    """
    with open_ranks(resumed_config(run, given)) as (config, ranks):
        return _go_on(run, config, ranks, roof, speaks(ranks, console or Silent()), observe, compare)


def _go_on(
    run: Path,
    config: TrainConfig,
    ranks: Ranks,
    roof: GpuSpec | None,
    console: Console,
    observe: Callable[[EpochBatches, Path], EpochBatches] | None,
    compare: bool,
) -> Report:
    from rooflight.train.checkpoint.read import read_state

    with hold(run) if ranks.is_main else nullcontext():
        if (run / "result.json").is_file():
            console.say(f"{run} is finished: this is what it found")
            return _report(replace(read_result(run), run=str(run)), run)
        for line in describe_changes(config, read_json(TrainConfig, run / "config.json")):
            console.say(line)
        found = read_state(run, notify=console.say)
        same_checkpoint(ranks, found)
        with from_copy(found.checkpoint, run) if found else nullcontext():
            ready = make_ready(config, run, ranks, roof, console, resumed=True)
            if not ranks.is_main:
                return take_part(ready, found)
            go_on_from(run, found, ready.data.info, console)
            write_file(run / "config.json", to_json(ready.config))
            if found is None:
                keep_source(ready.config, ready.data.reads, run)  # the run begins anew, with the file as it is now
            return _train(ready, run, roof, console, found=found, observe=observe, compare=compare)


def make_ready(
    config: TrainConfig, run: Path, ranks: Ranks, roof: GpuSpec | None, console: Console, *, resumed: bool = False
) -> Ready:
    """Data, model and every automatic choice; `resumed`: the choices were made when the run began."""
    family = family_of(config)
    found = family.find(config, console)
    setting = replace(decide(config, found.info), rank=ranks.rank, replicas=ranks.replicas)
    config = resolved(config, setting)
    console.say(describe_data(found.info))
    set_kernels(config)
    data = family.prepare(found, config, setting)
    model, why_layout = ready_model(config, data.reads, setting)
    if data.stages:
        data.stages.begin(model, run, console)
    loss = loss_of(config, data, setting)
    traced = trace_or_none(config, data, setting, loss)
    tuned: tuple[str, ...] = ()
    if ranks.world_size == 1 and not resumed:
        config, tuned = tune(config, data, model, setting, loss, traced, console)
    data = replace(data, batches=shared(data.batches, ranks))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model, formed = in_form(model, ranks, next(iter(data.batches.epoch(1)))[0], setting.precision)
    yardstick = yardstick_of(setting, traced, roof, devices=ranks.world_size)
    shares = describe_yardstick(yardstick, setting.precision)
    why = (why_layout, *found.reasons, *data.reasons, *formed, *tuned, shares)
    setting = replace(setting, reasons=(*setting.reasons, *why))
    for line in (*setting.reasons, *setting.settings):
        console.say(line)
    return Ready(
        config=config,
        setting=setting,
        data=data,
        model=model,
        parameters=parameters,
        groups=data.stages.groups(model) if data.stages else None,
        loss=loss,
        traced=traced,
        ranks=ranks,
        yardstick=yardstick,
    )


def _train(
    ready: Ready,
    run: Path,
    roof: GpuSpec | None,
    console: Console,
    *,
    found: Resumable | None = None,
    observe: Callable[[EpochBatches, Path], EpochBatches] | None = None,
    compare: bool = True,
) -> Report:
    """From a run folder with its configuration to its results."""
    setting = ready.setting
    try:
        result = _fit(ready, run, console, found, observe)
    except KeyboardInterrupt:
        console.say(
            f"{run} keeps its checkpoint: rooflight train --resume {run} goes on from there"
            if has_whole_checkpoint(run)
            else "stopped before the first checkpoint: nothing is kept. --checkpoint-every N makes one sooner"
        )
        raise
    write_file(run / "result.json", to_json(result))  # whole, should the comparison be stopped
    if not compare or ready.ranks.world_size > 1:  # what is predicted and measured beside it is a step of one process
        return _report(result, run)
    console.say("comparing with the prediction")
    dtypes = tuple(dict.fromkeys(("float32", result.dtype)))
    roof = roof or find_roof(setting.device, setting.machine, dtypes, console=console)
    yardstick = yardstick_of(setting, ready.traced, roof)  # which now is known, if only as measured
    result = replace(
        result,
        reasons=(*result.reasons, predicted_on(roof)),
        mfu=yardstick.mfu(result.samples_per_second),
        memory_share=yardstick.memory_share(result.samples_per_second),
    )
    if ready.data.stages:
        comparisons = ready.data.stages.compare(result, roof)
    else:
        batch = next(iter(ready.data.batches.epoch(1)))
        comparisons = compare_step(result, setting, ready.model, batch, roof, ready.traced, ready.loss)
    result = replace(result, comparisons=comparisons)
    write_file(run / "result.json", to_json(result))
    return _report(result, run)


def _report(result: TrainResult, run: Path) -> Report:
    if not result.comparisons:
        return Report(answer=result, tables=_tables(result)[:1], notes=(f"run folder: {run}",))
    return Report(answer=result, tables=_tables(result), notes=(*comparison_notes(result), f"run folder: {run}"))


def trace_or_none(config: TrainConfig, data: TrainData, setting: Setting, loss: Loss) -> Trace | None:
    """The trace of the run's step; None for a model whose path depends on its input."""
    from rooflight.flows.train_trace import trace_step

    batch = next(iter(data.batches.epoch(1)))
    samples = len(batch[1])  # of a small set, or of one rank, fewer than config.batch
    micro = None if config.micro_batch is None else min(config.micro_batch, samples)
    try:
        return trace_step(
            replace(config, batch=samples, micro_batch=micro), data.reads, batch, loss, setting.device.type
        )
    except TraceError:
        return None


def ready_model(config: TrainConfig, reads: Reads, setting: Setting) -> tuple[nn.Module, str]:
    """The model with its first weights, on its device in its layout; and why that one."""
    from rooflight.train.layout import prepare
    from rooflight.train.precision import to_float8

    model = build_model(config, reads, fresh=True)
    if config.dtype == "float8":
        model = to_float8(model)
    return prepare(model, setting.device, setting.dtype, split=config.tensor > 1 or config.pipeline > 1)


def default_out(model: str) -> Path:
    """A folder name that is free: runs/cnn-20260131-141500, with a number behind it if need be."""
    base = Path("runs") / f"{Path(model).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = [base, *(base.with_name(f"{base.name}-{number}") for number in range(2, 100))]
    return next(name for name in names if not name.exists())


def _fit(
    ready: Ready,
    run: Path,
    console: Console,
    found: Resumable | None,
    observe: Callable[[EpochBatches, Path], EpochBatches] | None,
) -> TrainResult:
    import torch

    from rooflight.hardware.environment import environment
    from rooflight.train.events import EventWriter
    from rooflight.train.fit import Hooks, fit
    from rooflight.train.optimizer import rate_share

    config, setting, data, model = ready.config, ready.setting, ready.data, ready.model
    batches = observe(data.batches, run) if observe else data.batches
    events = EventWriter(run)
    record_epoch = _recorder(run, events)
    share = rate_share(config, config.epochs * len(data.batches))
    total = config.epochs * data.info.train_count
    with (
        console.bar(f"train {config.model}", total, "samples") as advance,
        watching(
            run,
            setting,
            ready.yardstick,
            lr=lambda step: config.lr * share(step),
            log_every=config.log_every,
            events=events,
            console=console,
            show=lambda words: advance(0, live=words),
        ) as watcher,
        saving(run, config, data, ready.parameters, console) as save_state,
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
            save_state(state)
            watcher.interrupt()

        def halved(samples: int) -> None:
            console.say(f"out of memory: the step is repeated with micro-batches of {samples}")

        if found:
            advance(samples_so_far(found, data.info.train_count))
        measured = fit(
            model,
            watcher.batches(batches),
            data.test_batches,
            config,
            dtype=setting.dtype,
            classes=len(data.reads.classes),
            loss=ready.loss,
            validation=data.validation,
            ranks=ready.ranks,
            resume=(found.tensors, found.checkpoint.state) if found else None,
            groups=ready.groups,
            hooks=Hooks(
                on_step=step_done,
                on_epoch=epoch_done,
                on_save=save,
                on_halved=halved,
                pace=watcher.epoch_pace,
            ),
        )
        step_seconds = watcher.step_seconds() or measured.step_seconds
    evaluation, finished = measured.evaluation, tuple[str, ...]()
    if data.stages and ready.ranks.world_size == 1:
        evaluation, finished = data.stages.finish(model, evaluation)
    device = device_name(setting.device, setting.machine)
    return TrainResult(
        run=str(run),
        config=config,
        data=replace(data.info, bad=data.bad()),
        preprocessing=data.reads.preprocessing,
        device=device,
        dtype=setting.precision,
        reasons=(*setting.reasons, *finished),
        parameters=ready.parameters,
        steps=measured.steps,
        samples_per_second=measured.samples_per_second,
        step_seconds=step_seconds,
        epoch_step_seconds=measured.step_seconds,
        first_step_seconds=measured.first_step_seconds,
        evaluation=evaluation,
        epochs=measured.records,
        environment=environment(device, threads=torch.get_num_threads(), settings=setting.settings),
    )


def _recorder(run: Path, events: EventWriter) -> Callable[[EpochRecord], None]:
    """After each epoch: a line of metrics.jsonl, a TensorBoard event."""

    def record_epoch(record: EpochRecord) -> None:
        with (run / "metrics.jsonl").open("a") as file:
            file.write(metrics_line(record))
        values = {
            "loss/train": record.train_loss,
            "loss/test": record.test_loss,
            "learning_rate": record.lr,
            "samples_per_second": record.samples_per_second,
        }
        more = {
            "loss/validation": record.validation_loss,
            "accuracy/train": record.train_accuracy,
            "accuracy/test": record.test_accuracy,
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
    found = result.evaluation
    name, figure = _how_well(found.accuracy, found.loss)
    rows: tuple[tuple[str, str], ...] = (
        (name, f"{figure} of {found.count:,} held-out {result.data.samples}"),
        ("throughput", f"{show_rate(result.samples_per_second)}: whole epochs, {_epoch_step(result)}"),
        ("step", f"{show_seconds(result.step_seconds)}: forward, loss, backward, update; median of the last steps"),
        ("first step after", show_seconds(result.first_step_seconds)),
        ("trained", f"epochs: {result.config.epochs}, steps: {result.steps:,}, parameters: {result.parameters:,}"),
    )
    if result.mfu is not None and result.mfu >= LEAST_SHOWN:
        rows += (
            ("roofline", f"MFU {show_percent(result.mfu)}, memory {show_percent(result.memory_share)}{_power(result)}"),
        )
    if result.data.samples == "windows":
        rows = (("test perplexity", f"{math.exp(min(found.loss, LARGEST_LOSS)):.1f} on held-out text"), *rows)
    if result.data.bad:
        rows += (("left out", describe_bad(result.data)),)
    tables = [Table(columns=("result", ""), rows=rows)]
    return (*tables, *([comparison_table(result.comparisons)] if result.comparisons else ()))


def _epoch_step(result: TrainResult) -> str:
    waits = [record.data_wait_share for record in result.epochs if record.data_wait_share is not None]
    told = f"{show_seconds(result.epoch_step_seconds)} a step"
    return f"{told}, {show_percent(median(waits))} of it waiting for batches" if waits else told


def _power(result: TrainResult) -> str:
    watts = [record.watts for record in result.epochs if record.watts is not None]
    return f", {median(watts):.0f} W" if watts else ""
