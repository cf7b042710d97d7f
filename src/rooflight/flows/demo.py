"""`rooflight demo`: the whole road on this machine, on real data, each step in a line."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from rooflight.core.console import Console, Silent
from rooflight.core.files import fill_file, refuse_taken
from rooflight.core.plans import HERE, Plan, PlanConfig
from rooflight.core.runs import TrainResult
from rooflight.core.tables import Report, Table
from rooflight.core.training import TrainConfig
from rooflight.core.types import Comparison, Machine
from rooflight.core.units import show_bytes, show_percent, show_rate, show_seconds
from rooflight.flows.compare import comparison_notes, comparison_table
from rooflight.flows.export import Exported, Target, export
from rooflight.flows.info import info
from rooflight.flows.plan import plan
from rooflight.flows.predict import Predictions, predict
from rooflight.flows.report import Page, report
from rooflight.flows.train import default_out, train

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What `demo --json` prints."""

    run: str
    steps: tuple[tuple[str, str], ...]  # (step, what it found)
    comparisons: tuple[Comparison, ...]


def demo(*, device: str = "auto", out: Path | None = None, console: Console | None = None) -> Report:
    """info → plan → train → evaluate → export → predict → report, on the bundled images."""
    console = console or Silent()
    run = out or default_out("demo")
    refuse_taken(run)
    config = TrainConfig(device=device)
    steps: list[tuple[str, str]] = []

    console.say("1/7 info: what this machine has")
    steps.append(("info", _say_machine(cast(Machine, info(quick=True).answer))))

    console.say("2/7 plan: predict a training step before it is run")
    asked = PlanConfig(model=config.model, batch=config.batch, device=device, gpu=(HERE,))
    planned = plan(asked, console=console)
    roof = cast(Plan, planned.answer).roof
    steps.append(("plan", _say_plan(cast(Plan, planned.answer))))

    console.say(f"3/7 train: {config.epochs} epochs of real images; 4/7 evaluate: on held-out ones")
    trained = cast(TrainResult, train(config, out=run, roof=roof, console=console).answer)
    steps += [("train", _say_training(trained)), ("evaluate", _say_evaluation(trained))]

    target: Target = "onnx" if all(find_spec(name) for name in ONNX_PACKAGES) else "torch-export"
    console.say("5/7 export: one file for other runtimes, checked against PyTorch")
    exported = export(run, to=target, console=console)
    steps.append(("export", _say_export(cast(Exported, exported.answer))))

    console.say("6/7 predict: test pictures, written to files and read again")
    answers = cast(Predictions, predict(run, _write_samples(run), device=device).answer)
    steps.append(("predict", _say_predictions(answers)))

    console.say("7/7 report: all of it on a page")
    page = cast(Page, report(run).answer)
    steps.append(("report", f"{page.path}, {show_bytes(page.bytes)}: open it in a browser"))

    answer = Demo(run=str(run), steps=tuple(steps), comparisons=trained.comparisons)
    tables = (Table(columns=("step", "found"), rows=answer.steps), comparison_table(answer.comparisons))
    notes = (*comparison_notes(trained), *_notes(target))
    return Report(answer=answer, tables=tables, notes=notes, exit_code=exported.exit_code)


def _say_machine(machine: Machine) -> str:
    gpus = ", ".join(gpu.name for gpu in machine.gpus) or "no GPU"
    installed = [f"{each.name} {each.version}" for each in machine.frameworks if each.version]
    cpu = machine.cpu
    return f"{cpu.model}, {cpu.logical_cores} cores, {show_bytes(cpu.memory_bytes)}; {gpus}; {', '.join(installed)}"


def _say_plan(planned: Plan) -> str:
    row, roof = planned.estimates[0], planned.roof
    assert roof is not None  # this machine was asked for, and measured
    return (
        f"{show_seconds(row.step_seconds)} and {show_bytes(row.peak_bytes)} for a step of {planned.workload.batch} "
        f"images in {planned.workload.dtype}, bound by {row.bound_by}; roof {roof.source.partition(',')[0]}"
    )


def _say_training(result: TrainResult) -> str:
    return (
        f"{result.config.model}, {result.config.epochs} epochs of {result.data.train_count:,} {result.data.name} "
        f"images at {show_rate(result.samples_per_second)}"
    )


def _say_evaluation(result: TrainResult) -> str:
    found = result.evaluation
    recalls = [row[place] / max(1, sum(row)) for place, row in enumerate(found.confusion)]
    worst = recalls.index(min(recalls))
    return (
        f"{show_percent(found.accuracy)} of {found.count:,} held-out images right; hardest: "
        f"{result.data.classes[worst]}, {show_percent(recalls[worst])}"
    )


def _say_export(exported: Exported) -> str:
    artifact = exported.artifact
    largest = max(row.largest_difference for row in artifact.parity)
    batches = ", ".join(str(row.batch) for row in artifact.parity)
    return (
        f"{artifact.path}, {show_bytes(artifact.bytes)}; in {artifact.checked_with} at batches {batches} "
        f"within {largest:.1e} of PyTorch"
    )


def _say_predictions(answers: Predictions) -> str:
    # The files are named after their class.
    right = [row for row in answers.predictions if Path(row.input).stem == _file_name(row.label)]
    first = answers.predictions[0]
    return (
        f"{len(right)} of {len(answers.predictions)} pictures right, one of each class; "
        f"{Path(first.input).name}: {first.label}, {show_percent(first.probability)}"
    )


def _write_samples(run: Path) -> list[Path]:
    """The first test image of each class, as PNG files in RUN/samples."""
    from PIL import Image

    from rooflight.data.images import load_images

    images = load_images("bundled", channels=1, height=28, width=28)
    folder = run / "samples"
    folder.mkdir(exist_ok=True)
    files = []
    for label, name in enumerate(images.info.classes):
        first = int((images.test_labels == label).nonzero()[0])
        file = folder / f"{_file_name(name)}.png"
        picture = Image.fromarray(images.test_images[first, 0].numpy())
        fill_file(file, lambda partial, picture=picture: picture.save(partial, format="PNG"))  # type: ignore[misc]
        files.append(file)
    return files


def _file_name(label: str) -> str:
    return label.lower().replace("/", "-").replace(" ", "-")


def _notes(target: Target) -> tuple[str, ...]:
    if target == "onnx":
        return ()
    return ("For ONNX as well: pip install 'rooflight[onnx]' (from a checkout: pip install '.[onnx]').",)
