"""How fast a run was, epoch by epoch, and how much of the device it used."""

import math
from collections.abc import Callable, Sequence

from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.units import show_percent, show_rate, show_seconds
from rooflight.report.curves import Line, chart, legend
from rooflight.report.markup import Markup, join, scroll_box, table, tag

SHARES = (("mfu", "MFU", "test"), ("data_wait_share", "waiting for data", "train"))


def speed(result: TrainResult) -> Markup | None:
    """Curves of samples/s and of shares of the device, the figures of each epoch; None where no epoch has any."""
    epochs = result.epochs
    if not any(record.step_seconds is not None for record in epochs):
        return None
    numbers = tuple(record.epoch for record in epochs)
    rate = [Line(name="samples/s", style="test", x=numbers, y=tuple(record.samples_per_second for record in epochs))]
    plots = [_plot("Throughput", rate, chart("Samples per second by epoch", rate, show=lambda y: f"{y:,.0f}"))]
    shares = [
        Line(name=name, style=style, x=numbers, y=tuple(_or_gap(getattr(record, field)) for record in epochs))
        for field, name, style in SHARES
        if any(getattr(record, field) is not None for record in epochs)
    ]
    if shares:
        plots.append(_plot("Use of the device", shares, chart("Shares by epoch", shares, show=_short)))
    return join(tag("p", _told(result), class_="note"), tag("div", plots, class_="plots"), _figures(epochs))


def _plot(title: str, lines: Sequence[Line], drawing: Markup) -> Markup:
    return tag("figure", tag("figcaption", tag("h3", title), legend(lines)), drawing)


def _told(result: TrainResult) -> str:
    """What the two step times are of."""
    step = f"A step alone, forward, loss, backward and update, took {show_seconds(result.step_seconds)} (median)"
    if result.epoch_step_seconds is None:
        return f"{step}."
    whole = f"{show_seconds(result.epoch_step_seconds)} of an epoch, with the making of batches and what watches it"
    return f"{step}; to each belong {whole}. Evaluation and saving are in neither."


def _figures(epochs: Sequence[EpochRecord]) -> Markup:
    head = ("epoch", "samples/s", "step alone", "waiting for data", "MFU", "memory", "power")
    rows: list[tuple[object, ...]] = [
        (
            record.epoch,
            show_rate(record.samples_per_second).removesuffix(" samples/s"),
            _known(record.step_seconds, show_seconds),
            _known(record.data_wait_share, show_percent),
            _known(record.mfu, show_percent),
            _known(record.memory_share, show_percent),
            "–" if record.watts is None else f"{record.watts:.0f} W",
        )
        for record in epochs
    ]
    caption = (
        "MFU: FLOP/s of the products over the dense peak. Memory: bytes that operators move over its rate; above 100 % "
        "where caches serve. A dash: not known"
    )
    return scroll_box(table(caption, head, rows), "Speed of each epoch")


def _known(value: float | None, show: Callable[[float], str]) -> str:
    return "–" if value is None else show(value)


def _or_gap(value: float | None) -> float:
    return math.nan if value is None else value


def _short(share: float) -> str:
    return f"{share * 100:.3g} %"
