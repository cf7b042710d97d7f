"""The commands: each takes its flags and calls its flow. Nothing heavy is imported before a command runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rooflight.cli.flags import resolve as resolve_config
from rooflight.cli.flags import with_fields
from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.plans import PlanConfig
from rooflight.core.tables import Report
from rooflight.core.training import TOPICS, TrainConfig

Json = Annotated[
    bool, Parameter(name="--json", negative="", help="print one JSON document on stdout and nothing else there")
]
Device = Annotated[str, Parameter(help="auto, cpu, cuda or cuda:1")]
Run = Annotated[Path, Parameter(help="a run folder, as train leaves it")]
Shown = Annotated[Path, Parameter(help="a run folder, or a file that plan --json printed")]


def console() -> Console:
    """Where commands say what they do."""
    from rooflight.cli.console import TerminalConsole

    return TerminalConsole()


MOST_GIB = 2**20  # a PiB: no GPU has as much


def info(
    *,
    quick: Annotated[bool, Parameter(negative="", help="ask no framework: what their files say, at once")] = False,
    watch: Annotated[bool, Parameter(negative="", help="power, temperature, clocks and load, live")] = False,
    interval: Annotated[float | None, Parameter(help="seconds between the samples of --watch [default: 1]")] = None,
    samples: Annotated[int | None, Parameter(help="how many samples --watch takes [default: until Ctrl-C]")] = None,
    catalogue: Annotated[bool, Parameter(negative="", help="every GPU that can be planned for")] = False,
    resolve: Annotated[str | None, Parameter(help="the catalogue's entry of a driver's name, or of its own")] = None,
    memory_gib: Annotated[
        float | None, Parameter(help="memory of the GPU to --resolve, where a name has several")
    ] = None,
    json: Json = False,
) -> Report | None:
    """What do I have? CPU, GPUs, what each framework sees of them, and what to do about it."""
    from rooflight.flows.info import info as flow

    asked = [flag for flag, given in (("--watch", watch), ("--catalogue", catalogue), ("--resolve", resolve)) if given]
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(asked)} are different questions: ask one at a time.")
    for flag, given, needs, there in (
        ("--memory-gib", memory_gib, "--resolve", resolve is not None),
        ("--interval", interval, "--watch", watch),
        ("--samples", samples, "--watch", watch),
    ):
        if given is not None and not there:
            raise ConfigError(f"{flag} {given:g} is for {needs}, which was not asked for: add {needs} or leave it out.")
    if memory_gib is not None and not 0 < memory_gib <= MOST_GIB:
        raise ConfigError(f"--memory-gib {memory_gib:g}: it must be more than 0, and {MOST_GIB} or less.")
    if watch:
        from rooflight.cli.watch import run_watch

        return run_watch(interval=1.0 if interval is None else interval, samples=samples, json=json)
    if catalogue:
        from rooflight.flows.catalogue import show_catalogue

        return show_catalogue()
    if resolve is not None:
        from rooflight.flows.catalogue import show_resolved

        return show_resolved(resolve, None if memory_gib is None else round(memory_gib * 2**30))
    return flow(quick=quick, console=console())


@with_fields(PlanConfig, positional="model")
def plan(
    given: dict[str, Any],
    *,
    compare: Annotated[
        tuple[str, str] | None, Parameter(negative="", help="two GPUs side by side, by class of operator: A B")
    ] = None,
    trace_only: Annotated[bool, Parameter(negative="", help="the trace of the step; --json prints it whole")] = False,
    refresh_prices: Annotated[
        bool, Parameter(negative="", help="ask clouds for today's prices; plans nothing")
    ] = False,
    page: Annotated[Path | None, Parameter(help="also write the plan as a page with plots: FILE.html")] = None,
    json: Json = False,
) -> Report:
    """Which GPU do I need? Fit, speed, limits, power and price of any model on any GPU, predicted."""
    if refresh_prices:
        from rooflight.flows.catalogue import refresh_prices as refresh

        return refresh(console())
    config = resolve_config(PlanConfig, given, None)
    if page is not None and (trace_only or compare is not None):
        raise ConfigError("--page shows a whole plan: leave out --trace-only and --compare, or --page.")
    if config.scaling is not None and (trace_only or compare is not None):
        raise ConfigError("--scaling has an answer of its own: leave it out, or --trace-only and --compare.")
    if trace_only:
        from rooflight.flows.plan import plan_trace

        return plan_trace(config)
    if compare is not None:
        from rooflight.flows.plan_compare import plan_compare

        return plan_compare(config, compare, console=console())
    from rooflight.flows.plan import plan as flow

    return flow(config, page=page, console=console())


@with_fields(TrainConfig, positional="model", topics=TOPICS)
def train(
    given: dict[str, Any],
    *,
    config: Annotated[Path | None, Parameter(help="settings from a JSON or TOML file; flags override it")] = None,
    out: Annotated[Path | None, Parameter(help="the run folder [default: runs/MODEL-DATE-TIME]")] = None,
    resume: Annotated[Path | None, Parameter(help="go on with the run in this folder, exactly")] = None,
    profile: Annotated[
        bool, Parameter(negative="", help="a few steps only: where their time goes, and what to change")
    ] = False,
    json: Json = False,
) -> Report | None:
    """Train a model on real data, measure it, and compare with the prediction. With torchrun: on many GPUs."""
    if profile:
        if out is not None or resume is not None:
            raise ConfigError("--profile trains a few steps and keeps nothing: leave out --out and --resume.")
        from rooflight.flows.profile import profile_train

        return profile_train(resolve_config(TrainConfig, given, config), console=console())
    from rooflight.flows.train import resume as go_on
    from rooflight.flows.train import train as flow
    from rooflight.flows.train_ranks import prints_here

    if resume is None:
        answer = flow(resolve_config(TrainConfig, given, config), out=out, console=console())
    elif config is not None or out is not None:
        raise ConfigError("--resume takes configuration and folder from the run: leave out --config and --out.")
    else:
        answer = go_on(resume, given, console=console())
    return answer if prints_here() else None


@with_fields(TrainConfig, positional="model", topics=TOPICS)
def prove(
    given: dict[str, Any],
    *,
    kills: Annotated[int, Parameter(help="how often a training is ended by SIGKILL")] = 10,
    out: Annotated[Path | None, Parameter(help="keep the runs in this folder [default: they are removed]")] = None,
    json: Json = False,
) -> Report:
    """Kill a training at random moments, during saves too, resume it, and compare with an undisturbed one, bit by bit.

    Two epochs and a checkpoint every ten steps, unless --epochs and --checkpoint-every say otherwise.
    """
    from rooflight.flows.prove import prove as flow

    return flow(given, kills=kills, out=out, console=console())


def predict(
    run: Run,
    *inputs: Annotated[Path, Parameter(help="image files, or folders of them; a .npy or .npz file of arrays")],
    top: Annotated[int, Parameter(help="how many classes to name")] = 3,
    batch: Annotated[int, Parameter(help="images at a time")] = 256,
    prompt: Annotated[str | None, Parameter(help="of a text model: what it goes on from")] = None,
    tokens: Annotated[int, Parameter(help="words or characters to write after --prompt")] = 100,
    temperature: Annotated[float, Parameter(help="of --prompt's text; 0: always the most probable token")] = 0.8,
    streams: Annotated[int, Parameter(help="texts to write after --prompt")] = 1,
    seed: Annotated[int, Parameter(help="of --prompt's texts")] = 0,
    device: Device = "auto",
    json: Json = False,
) -> Report:
    """What is in these images? Class and probability, preprocessed as in training. Or: how does this text go on?"""
    if prompt is not None:
        from rooflight.flows.generate import generate

        if inputs:
            raise ConfigError("--prompt is for a text model, and images for another: give one of the two.")
        return generate(
            run,
            prompt,
            tokens=tokens,
            temperature=temperature,
            streams=streams,
            seed=seed,
            device=device,
            console=console(),
        )
    from rooflight.flows.predict import predict as flow

    return flow(run, inputs, top=top, batch=batch, device=device, console=console())


def export(
    run: Run,
    *,
    to: Annotated[
        Literal["onnx", "torch-export", "keras"], Parameter(help="the file format; onnx and keras need their extras")
    ] = "onnx",
    out: Annotated[Path | None, Parameter(help="the folder [default: RUN/export/FORMAT]")] = None,
    json: Json = False,
) -> Report:
    """One file for other runtimes, any batch size, checked against PyTorch."""
    from rooflight.flows.export import export as flow

    return flow(run, to=to, out=out, console=console())


def report(
    run: Shown,
    *,
    out: Annotated[Path | None, Parameter(help="the file [default: RUN/report.html, or beside the JSON]")] = None,
    json: Json = False,
) -> Report:
    """A run, or the JSON of a plan, as one self-contained page: curves, plots, predicted against measured."""
    from rooflight.flows.report import report as flow

    return flow(run, out=out)


def demo(
    *,
    device: Device = "auto",
    out: Annotated[Path | None, Parameter(help="the run folder [default: runs/demo-DATE-TIME]")] = None,
    json: Json = False,
) -> Report:
    """The whole road on this machine, on real data: info, plan, train, evaluate, export, predict, report."""
    from rooflight.flows.demo import demo as flow

    return flow(device=device, out=out, console=console())


COMMANDS = (info, plan, train, prove, predict, export, report, demo)
