"""`rooflight train … --profile`: some steps taken apart, and what would make them faster, predicted and tried."""

from __future__ import annotations

from dataclasses import replace

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError, RooflightError
from rooflight.core.profiles import Change, StepProfile
from rooflight.core.tables import Report, Table
from rooflight.core.training import TrainConfig
from rooflight.core.types import GpuSpec
from rooflight.core.units import show_percent, show_rate, show_seconds
from rooflight.flows.family import family_of
from rooflight.flows.live import yardstick_of
from rooflight.flows.profile_changes import Timing, Trial, changes
from rooflight.flows.profile_parts import operator_shares
from rooflight.flows.profile_run import SECONDS, ShortRun
from rooflight.flows.profile_sentences import limit_of, sentences
from rooflight.flows.roof import device_name, find_roof, too_low
from rooflight.flows.setting import Setting, decide, describe_data, resolved
from rooflight.flows.train_transfer import is_transfer

PLAIN_GAINS = (
    "What is predicted rests on a plain roofline: rooflight bench calibrate, once, makes it rest on timed operators."
)
SLOWEST_TRIAL = 1.0  # seconds: a change whose step is predicted to take longer is not tried


def profile_train(config: TrainConfig, *, roof: GpuSpec | None = None, console: Console | None = None) -> Report:
    """Train a few steps, say where their time goes and what to change. No run folder is made.

    roof    this machine's roofline, where it was measured already
    raises  as `train`; ConfigError for transfer learning; TraceError for a model whose path depends on its input
    """
    import torch

    from rooflight.hardware.environment import environment

    console = console or Silent()
    if is_transfer(config.model):
        raise ConfigError(
            f"--profile takes steps apart, and few of {config.model}'s seconds are in steps: its frozen base runs once "
            "over the data, and a head of a few layers is trained. Try rooflight train itself, which times both."
        )
    family = family_of(config)
    found = family.find(config, console)
    setting = decide(config, found.info)
    config = resolved(config, setting)
    console.say(describe_data(found.info))
    for line in (*setting.reasons, *setting.settings):
        console.say(line)
    run = ShortRun(family=family, found=found, setting=setting)
    console.say(f"some steps to get warm, {SECONDS:.0f} s of steps under a clock, some under torch's profiler")
    data, times = run.profile(config)
    dtypes = multiplied(setting)
    roof = roof or find_roof(setting.device, setting.machine, dtypes, console=console)
    trace = run.trace(config, data)
    predicted = run.estimated(trace, roof)
    whole, launch = times.step_seconds + times.data_seconds, times.step_seconds - times.busy_seconds
    rate, device = times.samples / whole, device_name(setting.device, setting.machine)
    operators = operator_shares(times.seconds_of, whole, trace, roof)
    trials = changes(
        config,
        Timing(
            step_seconds=times.step_seconds, data_seconds=times.data_seconds, launch_seconds=launch, batch=config.batch
        ),
        predicted,
        lambda changed: run.estimated(run.trace(changed, data), roof),
        dtypes=dtypes,
        device=setting.device.type,
        workers=getattr(data.batches, "workers", None),
        cores=setting.machine.cpu.logical_cores,
        recurrent=any(op.kind == "recurrent" for op in trace.ops),
    )
    yardstick = yardstick_of(setting, trace, roof)
    profile = StepProfile(
        model=config.model,
        device=device,
        dtype=config.dtype,
        batch=config.batch,
        steps=times.steps,
        samples_per_second=rate,
        step_seconds=times.step_seconds,
        data_seconds=times.data_seconds,
        launch_seconds=launch,
        operators=operators,
        limited_by=limit_of(times.data_seconds, launch, operators),
        mfu=yardstick.mfu(rate),
        memory_share=yardstick.memory_share(rate),
        predicted_step_seconds=predicted.step_seconds,
        changes=best_first([tried(trial, run, config, console) for trial in trials]),
        sentences=(),
        roof=roof.source,
        environment=environment(device, threads=torch.get_num_threads(), settings=setting.settings),
    )
    profile = replace(profile, sentences=sentences(profile))
    plain = () if roof.timed else (PLAIN_GAINS,)
    doubts = too_low("a share", (part.roof_share for part in operators if part.bound_by == "compute"))
    return Report(
        answer=profile, tables=(_table(profile),), notes=(*profile.sentences, *plain, *doubts, f"roof: {roof.source}")
    )


def multiplied(setting: Setting) -> tuple[str, ...]:
    """The dtypes that a run on the device may be in: its own, float32, and what the device multiplies itself."""
    from rooflight.bench.rates import native_dtypes

    native, _ = native_dtypes(setting.device)
    return tuple(dict.fromkeys((setting.precision, "float32", *native)))


def tried(trial: Trial, run: ShortRun, config: TrainConfig, console: Console) -> Change:
    """The change with what it gave, where a few steps of it are soon done; else with the reason.

    Steps without it are timed again beside it: what a machine gives changes from minute to minute.
    """
    change = trial.change
    if trial.config is None or trial.step_seconds is None:
        return change
    if trial.step_seconds > SLOWEST_TRIAL:
        return replace(change, note="; ".join(filter(None, (change.note, "not tried, its steps take too long"))))
    console.say(f"trying {change.name}")
    try:
        return replace(change, measured_gain=run.samples_per_second(trial.config) / run.samples_per_second(config))
    except RooflightError as error:
        return replace(change, note=f"tried in vain: {error}".rstrip("."))


def best_first(found: list[Change]) -> tuple[Change, ...]:
    """By what they gave, or are predicted to give where they were not tried."""
    return tuple(sorted(found, key=lambda change: -(change.measured_gain or change.predicted_gain or 0.0)))


def _table(profile: StepProfile) -> Table:
    whole = profile.whole_seconds
    rows = [
        ("waiting for data", show_seconds(profile.data_seconds), show_percent(profile.data_seconds / whole), "", ""),
        ("launch", show_seconds(profile.launch_seconds), show_percent(profile.launch_seconds / whole), "", ""),
    ]
    for part in profile.operators:
        if part.share < 0.005:
            continue
        allowed = "" if part.roof_share is None else f"{100 * part.roof_share:.0f} %"
        rows.append((part.name, show_seconds(part.seconds), show_percent(part.share), part.bound_by or "", allowed))
    title = (
        f"a step of {profile.batch} samples in {profile.dtype}: {show_seconds(profile.step_seconds)} "
        f"(predicted {show_seconds(profile.predicted_step_seconds)}), {show_rate(profile.samples_per_second)}"
        f"{'' if profile.mfu is None else f', MFU {show_percent(profile.mfu)}'}"
    )
    return Table(title=title, columns=("where", "time", "share", "bound by", "of the roof"), rows=tuple(rows))
