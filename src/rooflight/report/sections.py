"""The tables of the page: predicted and measured, exports, verdicts, configuration, environment."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import PurePath

from rooflight.core.runs import Artifact, EpochRecord, Prediction, TrainResult
from rooflight.core.training import TrainConfig
from rooflight.core.types import Comparison
from rooflight.core.units import show_bytes, show_flops_per_second, show_percent, show_rate, show_seconds
from rooflight.report.markup import Markup, join, scroll_box, table, tag


def show_value(value: float, unit: str) -> str:
    """A figure with its unit as people read it; a unit that core.units does not know is written behind the number."""
    if not math.isfinite(value):
        return "not finite"
    if unit in ("s", "seconds"):
        return show_seconds(value)
    if unit in ("B", "bytes"):
        return show_bytes(value)
    if unit == "FLOP/s":
        return show_flops_per_second(value)
    if unit.endswith("/s"):
        return show_rate(value, unit.removesuffix("/s"))
    return f"{value:,.4g} {unit}".rstrip()


def show_share(share: float | None) -> str:
    """A percentage, or the words for a figure that is none."""
    if share is None:
        return "no classes"
    return show_percent(share) if math.isfinite(share) else "not finite"


def comparisons(rows: Sequence[Comparison]) -> Markup:
    """Each figure twice, as predicted before the run and as it came out."""
    if not rows:
        return tag("p", "Nothing was predicted for this run.", class_="note")
    return scroll_box(
        table(
            "Error is (predicted − measured) / measured",
            ("figure", "predicted", "measured", "error"),
            [
                (
                    row.name,
                    show_value(row.predicted, row.unit),
                    show_value(row.measured, row.unit),
                    show_percent(row.error, signed=True).replace("-", "−")
                    if math.isfinite(row.error)
                    else "not finite",
                )
                for row in rows
            ],
        ),
        "Predicted and measured",
    )


def exports(artifacts: Sequence[Artifact]) -> Markup:
    """Each exported file, and how far it is from PyTorch."""
    return tag("div", [tag("article", _export(artifact)) for artifact in artifacts], class_="exports")


def _export(artifact: Artifact) -> Markup:
    agrees = all(parity.agrees for parity in artifact.parity)
    verdict = tag("span", "✓ agrees" if agrees else "✗ differs", class_="yes" if agrees else "no")
    about = [
        ("file", PurePath(artifact.path).name),
        ("size", show_bytes(artifact.bytes)),
        ("input", f"{artifact.input_name} ({', '.join('N' if n is None else str(n) for n in artifact.input_shape)})"),
        ("checked with", artifact.checked_with),
        ("SHA-256", artifact.sha256),
    ]
    rows: list[tuple[object, ...]] = [
        (
            parity.batch,
            f"{parity.largest_difference:.2g}",
            f"{parity.tolerance:.2g}",
            tag("span", "✓ yes" if parity.agrees else "✗ no", class_="yes" if parity.agrees else "no"),
        )
        for parity in artifact.parity
    ]
    parity = table(
        "Largest difference of a class score from PyTorch's, by batch size",
        ("batch", "largest difference", "tolerance", "agrees"),
        rows,
    )
    return join(
        tag("h3", artifact.format, " ", verdict),
        scroll_box(parity, f"Parity of {artifact.format}"),
        pairs(about),
    )


def predicted(predictions: Sequence[Prediction]) -> Markup:
    """What the model says of some inputs, and what else it thought of."""
    rows: list[tuple[object, ...]] = [
        (
            PurePath(prediction.input).name,
            prediction.label,
            show_percent(prediction.probability),
            ", ".join(f"{label} {show_percent(p)}" for label, p in prediction.top if label != prediction.label),
        )
        for prediction in predictions
    ]
    head = ("input", "label", "probability", "other candidates")
    return scroll_box(table("Most probable class of each input", head, rows, numbers=False), "What it says")


def configuration(config: TrainConfig) -> Markup:
    """Every setting with its meaning; those that were changed are marked."""
    rows: list[tuple[object, ...]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        changed = tag("span", "not the default", class_="badge") if value != field.default else None
        rows.append((field.name, join(_plain(value), " ", changed), field.metadata.get("help", "")))
    head = ("setting", "value", "what it is")
    return scroll_box(
        table("As resolved: asked for, or chosen as said above", head, rows, numbers=False), "Configuration"
    )


def environment(result: TrainResult) -> Markup:
    """Where the run took place and on which data, in full."""
    place, data = result.environment, result.data
    return join(
        tag("h3", "Machine"),
        pairs(
            [
                ("device", place.device),
                ("system", place.system),
                ("Python", place.python),
                ("packages", ", ".join(f"{name} {version}" for name, version in place.packages.items()) or "unknown"),
                ("threads", place.threads),
                ("settings", ", ".join(place.settings) or "none"),
                ("commit", place.commit or "unknown"),
                ("date", place.date),
            ]
        ),
        tag("h3", "Data"),
        pairs(
            [
                ("name", data.name),
                ("source", data.source),
                ("licence", data.licence or "unknown"),
                ("classes", ", ".join(data.classes)),
                ("SHA-256", data.sha256),
                ("preprocessing", _preprocessing(result)),
            ]
        ),
    )


def epochs_table(epochs: Sequence[EpochRecord]) -> Markup:
    """metrics.jsonl for people."""
    head = ("epoch", "train loss", "test loss", "train accuracy", "test accuracy", "learning rate", "samples/s")
    rows: list[tuple[object, ...]] = [
        (
            record.epoch,
            show_value(record.train_loss, ""),
            show_value(record.test_loss, ""),
            show_share(record.train_accuracy),
            show_share(record.test_accuracy),
            f"{record.lr:.2e}",
            f"{record.samples_per_second:,.0f}",
        )
        for record in epochs
    ]
    return scroll_box(table("Figures after each epoch", head, rows), "Every epoch in numbers")


def pairs(items: Sequence[tuple[str, object]]) -> Markup:
    """Names and values."""
    return tag("dl", [tag("div", tag("dt", name), tag("dd", value)) for name, value in items], class_="pairs")


def _preprocessing(result: TrainResult) -> str:
    how = result.preprocessing
    if how is None:
        return "none"
    mean, std = (", ".join(f"{x:.4g}" for x in numbers) for numbers in (how.mean, how.std))
    return f"{how.channels} × {how.height} × {how.width}, then (x / 255 − mean) / std with mean {mean}, std {std}"


def _plain(value: object) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
