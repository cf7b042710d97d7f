"""A training run as one HTML page: nothing to install, nothing fetched, as readable in ten years as today."""

import math
from pathlib import PurePath

from rooflight.core.runs import Artifact, Prediction, TrainResult
from rooflight.core.units import show_count, show_percent, show_rate, show_seconds
from rooflight.report.curves import Line, chart, legend
from rooflight.report.frame import Section, document, figure
from rooflight.report.markup import Markup, join, tag
from rooflight.report.matrix import MOST_CLASSES, class_table, confusion_matrix, worst_confusions
from rooflight.report.sections import (
    comparisons,
    configuration,
    environment,
    epochs_table,
    exports,
    predicted,
    show_share,
    show_value,
)
from rooflight.report.speed import speed


def run_page(
    result: TrainResult,
    *,
    artifacts: tuple[Artifact, ...] = (),
    predictions: tuple[Prediction, ...] = (),
) -> str:
    """The whole page. Figures that are not finite are shown as "not finite", never drawn.

    artifacts    exports of this run, with their parity
    predictions  what the model says of some inputs
    """
    sections = [
        Section(key=key, link=link, title=title, content=content)
        for key, link, title, content in (
            ("figures", "Figures", "At a glance", _figures(result)),
            ("curves", "Curves", "Training curves", _curves(result)),
            ("speed", "Speed", "How fast, and of what is possible", speed(result)),
            ("classes", "Classes", "Where it is right, and where not", _classes(result)),
            ("predicted", "Predicted", "Predicted and measured", comparisons(result.comparisons)),
            ("exports", "Exports", "Exports", exports(artifacts) if artifacts else None),
            ("verdicts", "Verdicts", "What it says", predicted(predictions) if predictions else None),
            ("configuration", "Configuration", "Configuration", configuration(result.config)),
            ("environment", "Environment", "Environment", environment(result)),
        )
    ]
    return document(
        title=f"{result.config.model} on {result.data.name}: {_headline(result)}",
        eyebrow=f"Rooflight · training run {PurePath(result.run).name}",
        heading=f"{result.config.model} on {result.data.name}",
        sections=sections,
        foot=f"Made by Rooflight from {result.run}/result.json. {result.environment.date}",
    )


def _figures(result: TrainResult) -> Markup:
    data = result.data
    figures = [
        (
            "throughput",
            show_rate(result.samples_per_second),
            f"median of the epochs; a step of {result.config.batch} alone takes {show_seconds(result.step_seconds)}",
        ),
        ("device", result.device, f"first step done after {show_seconds(result.first_step_seconds)}"),
        ("dtype", result.dtype, "of the matrix products"),
        (
            "model",
            f"{show_count(result.parameters)} parameters",
            f"{result.steps:,} steps, {len(result.epochs)} {'epoch' if len(result.epochs) == 1 else 'epochs'}",
        ),
        (
            "data",
            f"{data.train_count:,} + {data.test_count:,}",
            f"images to train and to test, {len(data.classes)} classes",
        ),
        ("checksum", data.sha256[:12], "first digits of the data's SHA-256"),
    ]
    grid = tag("dl", [figure(*each) for each in figures], class_="grid")
    why = tag("ul", [tag("li", reason) for reason in result.reasons], class_="why") if result.reasons else None
    return join(
        tag("div", _lead(result), grid, class_="figures"), tag("h3", "Chosen for you, and why") if why else None, why
    )


def _headline(result: TrainResult) -> str:
    accuracy, loss = result.evaluation.accuracy, result.evaluation.loss
    return f"test loss {show_value(loss, '')}" if accuracy is None else show_share(accuracy)


def _lead(result: TrainResult) -> Markup:
    """The figure that a run is looked at for: its accuracy, or its loss where there are no classes."""
    evaluation = result.evaluation
    accuracy, loss = evaluation.accuracy, show_value(evaluation.loss, "")
    if accuracy is None:
        told = f"of {evaluation.count:,} held-out samples"
        return tag(
            "div",
            tag("p", loss, class_="big"),
            tag("p", "test loss", class_="label"),
            tag("p", told, class_="aside"),
            class_="lead",
        )
    right = round(accuracy * evaluation.count) if math.isfinite(accuracy) else None
    told = f"{right:,} of {evaluation.count:,} held-out images right" if right is not None else "no image counted"
    return tag(
        "div",
        tag("p", show_share(accuracy), class_="big"),
        tag("p", "test accuracy", class_="label"),
        tag("p", f"test loss {loss}", class_="aside"),
        tag("p", told + _interval(accuracy, evaluation.count), class_="aside"),
        class_="lead",
    )


def _interval(accuracy: float, count: int) -> str:
    """Wilson's 95 % interval: how far another test set of this size could have moved the figure."""
    if not math.isfinite(accuracy) or count == 0:
        return ""
    z = 1.96
    middle = (accuracy + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(accuracy * (1 - accuracy) / count + z * z / (4 * count * count))
    words = f"; 95 % interval {show_percent(middle - half)} to {show_percent(middle + half)}"
    return words.replace(" %", "\N{NO-BREAK SPACE}%")


def _curves(result: TrainResult) -> Markup | None:
    if not result.epochs:
        return None
    epochs = tuple(record.epoch for record in result.epochs)

    def lines(what: str) -> list[Line]:
        return [
            Line(
                name=name, style=name, x=epochs, y=tuple(getattr(record, f"{name}_{what}") for record in result.epochs)
            )
            for name in ("train", "test")
        ]

    loss = chart("Loss by epoch", lines("loss"), show=lambda value: f"{value:.3g}")
    plots = [tag("figure", tag("figcaption", tag("h3", "Loss"), legend(lines("loss"))), loss)]
    if result.evaluation.accuracy is not None:
        accuracy = chart("Accuracy by epoch", lines("accuracy"), show=_short_percent, most=1.0)
        caption = tag("figcaption", tag("h3", "Accuracy"), legend(lines("accuracy")))
        plots.insert(0, tag("figure", caption, accuracy))
    numbers = tag("details", tag("summary", "Every epoch in numbers"), epochs_table(result.epochs))
    return join(tag("div", plots, class_="plots"), numbers)


def _classes(result: TrainResult) -> Markup | None:
    classes, confusion = result.data.classes, result.evaluation.confusion
    if not confusion:
        return None
    matrix = (
        join(_KEYS, confusion_matrix(classes, confusion))
        if len(classes) <= MOST_CLASSES
        else tag("p", f"The matrix of {len(classes)} classes is left out; it is in result.json.", class_="note")
    )
    by_class = join(tag("h3", "Class by class"), class_table(classes, confusion))
    return join(
        worst_confusions(classes, confusion), tag("div", tag("div", matrix), tag("div", by_class), class_="classes")
    )


_KEYS = tag(
    "p",
    tag("span", tag("span", class_="key hit", aria_hidden="true"), "right, as a share of the true class"),
    tag("span", tag("span", class_="key miss", aria_hidden="true"), "mistaken, on a scale of its own"),
    class_="note keys",
)


def _short_percent(share: float) -> str:
    """`0.9` → "90 %", `0.925` → "92.5 %"."""
    return f"{share * 100:.1f}".removesuffix(".0") + " %"
