"""Predicted beside measured: the loop that every run closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rooflight.core.runs import TrainResult
from rooflight.core.tables import Table
from rooflight.core.types import Comparison, GpuSpec, Trace
from rooflight.core.units import show_bytes, show_percent, show_seconds
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.train.loss import Loss

FEW_STEPS = 20
PREDICTED_ON = "predicted on: "  # the reason of a run that names the roof
TIMED = "operators timed in random networks"  # in that reason, where a calibration holds them
PLAIN = (
    "The predicted step is a plain roofline: what the device could do at best, so measured is usually longer. "
    "rooflight bench calibrate, once, makes it a prediction."
)


def compare_step(
    result: TrainResult,
    setting: Setting,
    model: nn.Module,
    batch: tuple[Any, Tensor],
    roof: GpuSpec,
    traced: Trace | None,
    loss: Loss,
) -> tuple[Comparison, ...]:
    """Time and peak memory of a training step of the run, of the step alone on either side.

    batch   one (inputs, targets) pair, as the run trains on
    roof    this machine's roofline
    traced  a step on such a batch; None: it cannot be traced, and nothing is predicted
    """
    from torch.utils import _pytree as pytree

    from rooflight.bench.memory import peak_tensor_bytes
    from rooflight.estimate.roofline import estimate
    from rooflight.train.probe import probe_step

    if traced is None:
        return ()
    predicted = estimate(traced, roof, asynchronous=setting.device.type == "cuda")
    inputs, targets = pytree.tree_map(lambda leaf: leaf.clone() if hasattr(leaf, "clone") else leaf, batch)
    step, staying = probe_step(model, inputs, targets, dtype=setting.dtype, config=result.config, loss=loss)
    above = peak_tensor_bytes(step, setting.device, warm_up=2)
    return (
        compare("step time", "s", predicted.step_seconds, result.step_seconds),
        compare("peak memory of a step", "bytes", predicted.peak_bytes, above + staying()),
    )


def predicted_on(roof: GpuSpec) -> str:
    """The reason of a run that names what its prediction rests on."""
    timed = (
        f"{TIMED}, steps of held-out ones within {show_percent(roof.timed.median_error)} (median); "
        if roof.timed
        else ""
    )
    return f"{PREDICTED_ON}{timed}{roof.source}"


def compare(name: str, unit: str, predicted: float, measured: float) -> Comparison:
    """Predicted beside measured, with the relative error."""
    error = (predicted - measured) / measured
    return Comparison(name=name, unit=unit, predicted=predicted, measured=measured, error=error)


def comparison_table(comparisons: tuple[Comparison, ...]) -> Table:
    """Predicted beside measured, for people."""
    show = {"s": show_seconds, "bytes": show_bytes}
    rows = tuple(
        (row.name, show[row.unit](row.predicted), show[row.unit](row.measured), show_percent(row.error, signed=True))
        for row in comparisons
    )
    return Table(columns=("predicted against measured", "predicted", "measured", "error"), rows=rows)


def comparison_notes(result: TrainResult) -> tuple[str, ...]:
    """How far the comparison can be trusted."""
    on = [reason for reason in result.reasons if reason.startswith(PREDICTED_ON)]
    notes = [] if any(TIMED in reason for reason in on) else [PLAIN]
    notes += on
    if result.steps < FEW_STEPS:
        notes.append(f"{result.steps} steps are too few to judge a speed by.")
    return tuple(notes)
