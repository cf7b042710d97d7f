"""What could be done differently, and what the same estimate that predicts a step says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rooflight.core.errors import SpecError, TraceError
from rooflight.core.profiles import Change
from rooflight.core.training import TrainConfig
from rooflight.core.types import Estimate

WORTH = 1.05  # samples/s after / before: a smaller gain is not suggested
WAITS = 0.1  # share of the time from which on waiting is worth a suggestion
LARGER = (2, 4)  # times the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A change, and the configuration that has it; None: there is nothing to try."""

    change: Change
    config: TrainConfig | None = None
    step_seconds: float | None = None  # predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What was measured of a step."""

    step_seconds: float
    data_seconds: float
    launch_seconds: float
    batch: int

    @property
    def whole_seconds(self) -> float:
        return self.step_seconds + self.data_seconds


Predict = Callable[[TrainConfig], Estimate]


def changes(
    config: TrainConfig,
    timing: Timing,
    now: Estimate,
    predict: Predict,
    *,
    dtypes: Sequence[str],
    device: str,
    workers: int | None,
    cores: int,
) -> list[Trial]:
    """What is worth suggesting.

    now      the estimate of the step that was timed
    predict  a configuration → the estimate of its step on this device
    dtypes   that the device multiplies itself
    device   "cpu" or "cuda"
    workers  that load from disk; None: the samples are in memory
    """
    return [
        *_data_changes(config, timing, workers, cores),
        *_launch_changes(config, timing, device),
        *_predicted_changes(config, timing, now, predict, dtypes),
    ]


def _data_changes(config: TrainConfig, timing: Timing, workers: int | None, cores: int) -> list[Trial]:
    share = timing.data_seconds / timing.whole_seconds
    if share < WAITS:
        return []
    gain = 1 / (1 - share)

    def bound(name: str, flags: str, changed: TrainConfig, note: str = "") -> Trial:
        return Trial(
            change=Change(name=name, flags=flags, predicted_gain=gain, at_most=True, note=note),
            config=changed,
            step_seconds=timing.step_seconds,
        )

    if workers is None:
        if not config.augment:
            return []
        note = "the thread that trains also shifts and mirrors"
        return [bound("no augmentation", "--augment 0", replace(config, augment=0.0), note)]
    note = "not tried: all images would have to be decoded first"
    memory = Change(
        name="images decoded in memory", flags="--storage memory", predicted_gain=gain, at_most=True, note=note
    )
    found = [Trial(change=memory)]
    if workers < cores:
        found.append(bound(f"{cores} workers", f"--workers {cores}", replace(config, workers=cores)))
    return found


def _launch_changes(config: TrainConfig, timing: Timing, device: str) -> list[Trial]:
    share = timing.launch_seconds / timing.whole_seconds
    if share < WAITS or config.compile in ("on", "graphs"):
        return []
    if device == "cpu":
        note = (
            "what it leaves of Python and autograd is not fitted; --compile auto tries it where the run is long enough"
        )
        return [Trial(change=Change(name="torch.compile", flags="--compile on", predicted_gain=None, note=note))]
    change = Change(
        name="CUDA graphs",
        flags="--compile graphs",
        predicted_gain=1 / (1 - share),
        at_most=True,
        note="not tried: --compile auto does",
    )
    return [Trial(change=change)]


def _predicted_changes(
    config: TrainConfig, timing: Timing, now: Estimate, predict: Predict, dtypes: Sequence[str]
) -> list[Trial]:
    found = []
    if config.dtype in ("float32", "tfloat32") and "bfloat16" in dtypes:
        found.append(
            _predicted("bfloat16", "--dtype bfloat16", replace(config, dtype="bfloat16"), timing, predict, now)
        )
    larger = [
        _predicted(
            f"a batch of {times * config.batch}",
            f"--batch {times * config.batch}",
            replace(config, batch=times * config.batch),
            timing,
            predict,
            now,
        )
        for times in LARGER
    ]
    best = max(larger, key=lambda trial: (trial and trial.change.predicted_gain) or 0.0)
    worth = [trial for trial in (*found, best) if trial is not None]
    return [trial for trial in worth if (trial.change.predicted_gain or 0.0) >= WORTH]


def _predicted(
    name: str, flags: str, changed: TrainConfig, timing: Timing, predict: Predict, now: Estimate
) -> Trial | None:
    """The step as the estimate changes it; the waiting for a sample stays. None: it does not fit, or has no rate."""
    try:
        then = predict(changed)
    except (SpecError, TraceError):
        return None
    if not then.fits:
        return None
    samples = changed.batch / timing.batch
    step = timing.step_seconds * then.step_seconds / now.step_seconds
    gain = samples * timing.whole_seconds / (step + samples * timing.data_seconds)
    note = "it learns otherwise: fewer steps an epoch" if changed.batch != timing.batch else ""
    return Trial(
        change=Change(name=name, flags=flags, predicted_gain=gain, note=note), config=changed, step_seconds=step
    )
