"""A run's checkpoints: saved while it trains, gone on from when it is resumed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import read_json, to_json, to_plain
from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, ResourceError, RooflightError
from rooflight.core.files import refuse_unwritable, write_file
from rooflight.core.runs import Checkpoint, DataInfo, EpochRecord
from rooflight.core.training import TrainConfig
from rooflight.flows.family import TrainData

if TYPE_CHECKING:
    from rooflight.train.checkpoint.read import Resumable
    from rooflight.train.state import TrainState

STEP_LINES = ("steps.jsonl",)  # files of lines that name their step
# What may differ when a run goes on: where it is computed and how it is kept, not what is learnt.
FREE = {
    "device",
    "workers",
    "micro_batch",
    "compile",
    "parallel",
    "tensor",
    "pipeline",
    "peer_timeout",
    "checkpoint_every",
    "keep",
    "log_every",
    "data_dir",
}
SAME_BITS = {
    "workers",
    "checkpoint_every",
    "keep",
    "log_every",
    "data_dir",
    "peer_timeout",
}  # those that change no rounding


@contextmanager
def saving(
    run: Path, config: TrainConfig, data: TrainData, parameters: int, console: Console
) -> Iterator[Callable[[TrainState], None]]:
    """What saves a state, in the background. Leaving waits until the last save is on the disk.

    raises  ResourceError if that one could not be written
    """
    from rooflight.train.checkpoint.saver import Saver
    from rooflight.train.checkpoint.write import take_snapshot

    saver = Saver(run, keep=config.keep, notify=console.say)

    def save(state: TrainState) -> None:
        document = Checkpoint(
            weights="",  # the writer's to name
            weights_sha256="",
            config=config,
            classes=data.reads.classes,
            preprocessing=data.reads.preprocessing,
            text=data.reads.text,
            own=data.reads.own,
            epoch=len(state.records),
            parameters=parameters,
            step=state.place.step,
            data_sha256=data.info.sha256,
            state=state.document(),
        )
        saver.save(take_snapshot(document, weights=state.weights(), tensors=state.tensors()))

    try:
        yield save
    except BaseException:
        with contextlib.suppress(ResourceError):  # told already; the run's own end is what counts
            saver.close()
        raise
    saver.close()


def resumed_config(run: Path, given: dict[str, object]) -> TrainConfig:
    """The run's configuration with the settings of `given` that may differ.

    raises  ConfigError for one that would train something else, for what is no run, and where nothing may be written
    """
    if not run.is_dir():
        raise ConfigError(f"--resume {run}: no such run folder. Try rooflight train cnn --out {run}.")
    document = run / "config.json"
    if not document.is_file():
        raise ConfigError(f"--resume {run}: it holds no run (config.json is missing). Try another folder.")
    refuse_unwritable(document)
    config = read_json(TrainConfig, document)
    plain, asked = to_plain(config), to_plain(given)
    for name in asked:
        if name not in FREE and asked[name] != plain[name]:
            flag = name.replace("_", "-")
            raise ConfigError(
                f"--{flag} {asked[name]}: {run} is trained with {plain[name]}, and going on with another would be "
                f"another run. Leave it out, or start a new run: rooflight train --config {document} --{flag} …"
            )
    return replace(config, **given)  # type: ignore[arg-type]


def describe_changes(config: TrainConfig, kept: TrainConfig) -> list[str]:
    """A sentence where a setting that is given anew may round otherwise."""
    changed = [name for name in sorted(FREE - SAME_BITS) if getattr(config, name) != getattr(kept, name)]
    return [
        f"--{name.replace('_', '-')} {getattr(config, name)} instead of {getattr(kept, name)}: the same samples and "
        "draws, but sums may round otherwise, so that the result is not the same to the bit"
        for name in changed
    ]


def go_on_from(run: Path, found: Resumable | None, data: DataInfo, console: Console) -> None:
    """Say where a run goes on, and cut its records back to that place.

    raises  ConfigError if the data is not what the run has been trained on
    """
    if found is None:
        console.say(f"{run} has no checkpoint yet: it begins anew")
        records, step = [], 0
    else:
        checkpoint = found.checkpoint
        if checkpoint.data_sha256 not in (None, data.sha256):
            raise ConfigError(
                f"--resume {run}: it was trained on data of sha256 {(checkpoint.data_sha256 or '')[:16]}…, and "
                f"{data.source} is {data.sha256[:16]}… now. Try the data of before, or a new run."
            )
        records, step = checkpoint.state["records"], checkpoint.step
        place = checkpoint.state["place"]
        console.say(
            f"{run} goes on from step {step:,}: epoch {place['epoch']}, after {place['samples']:,} samples of it"
        )
    write_file(run / "metrics.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in records))
    for name in STEP_LINES:
        cut_lines(run / name, step)


def samples_so_far(found: Resumable, of_an_epoch: int) -> int:
    """How many the run had been trained on."""
    place = found.checkpoint.state["place"]
    return int((place["epoch"] - 1) * of_an_epoch + place["samples"])


def metrics_line(record: EpochRecord) -> str:
    """As it stands in metrics.jsonl."""
    return to_json(record, indent=None) + "\n"


def cut_lines(path: Path, step: int) -> None:
    """Leave the lines of steps up to this one. A line that was cut off by the end of a process goes as well."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if line.endswith(b"\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_file(path, b"".join(kept))


def has_whole_checkpoint(run: Path) -> bool:
    """May the run be used, or gone on with?"""
    from rooflight.train.checkpoint.read import read_checkpoint

    try:
        read_checkpoint(run)
    except RooflightError:
        return False
    return True
