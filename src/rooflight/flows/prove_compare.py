"""Two runs, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooflight.core.codec import from_json, to_plain
from rooflight.core.errors import DataError
from rooflight.core.runs import EpochRecord
from rooflight.flows.checkpoint import read_result
from rooflight.flows.prove_child import SAMPLES

if TYPE_CHECKING:
    from torch import Tensor

    from rooflight.train.checkpoint.read import Resumable

# Of an epoch's record: what was learnt. The rest is how long it took.
LEARNT = (
    "epoch",
    "step",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "lr",
    "validation_loss",
)
NAMES = {  # of a checkpoint's tensors by their first word
    "model": "weights",
    "optimizer": "optimizer state",
    "ema": "averages",
    "best": "best weights",
    "totals": "sums of the epoch",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLog:
    """What a run was fed."""

    batches: Mapping[tuple[int, int], str]  # (epoch, place in it) → numbers and hash of the batch
    repeated: int  # lines of places that were there before
    contradictions: int  # repetitions that were not the same batch


def differences(run: Path, reference: Path) -> dict[str, list[str]]:
    """By what is compared: how the finished `run` differs from `reference`. An empty list: not in one bit."""
    ours, theirs = _state(run), _state(reference)
    found = compare_states(ours, theirs)
    mine, other = read_samples(run / SAMPLES), read_samples(reference / SAMPLES)
    wrong = [f"epoch {epoch}, sample {place}" for epoch, place in sorted(set(mine.batches) ^ set(other.batches))]
    wrong += [
        f"epoch {epoch}, sample {place}: another batch"
        for epoch, place in sorted(set(mine.batches) & set(other.batches))
        if mine.batches[epoch, place] != other.batches[epoch, place]
    ]
    if mine.contradictions:
        wrong.append(f"{mine.contradictions} repeated steps saw another batch")
    found["sample log"] = wrong
    found["metrics"] = [] if _metrics(run) == _metrics(reference) else ["metrics.jsonl"]
    same = read_result(run).evaluation == read_result(reference).evaluation
    found["evaluation"] = [] if same else ["result.json"]
    return found


def compare_states(ours: Resumable, theirs: Resumable) -> dict[str, list[str]]:
    """Two checkpoints of a run: names of what differs, by kind."""
    found: dict[str, list[str]] = {}
    for name in sorted(set(ours.tensors) | set(theirs.tensors)):
        kind = NAMES[name.partition(".")[0]]
        wrong = found.setdefault(kind, [])
        if not _same_bits(ours.tensors.get(name), theirs.tensors.get(name)):
            wrong.append(name)
    mine, other = _learnt(ours.checkpoint.state), _learnt(theirs.checkpoint.state)
    found["place, scaler and records"] = [
        key for key in sorted(set(mine) | set(other)) if mine.get(key) != other.get(key)
    ]
    return found


def read_samples(path: Path) -> SampleLog:
    """A log of one process or several. A line that was cut off by the end of one is left out."""
    batches: dict[tuple[int, int], str] = {}
    repeated = contradictions = 0
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        place, content = (row["epoch"], row["samples"]), f"{row['ids']} {row['sha256']}"
        repeated += place in batches
        contradictions += batches.setdefault(place, content) != content
    return SampleLog(batches=batches, repeated=repeated, contradictions=contradictions)


def _state(run: Path) -> Resumable:
    from rooflight.train.checkpoint.read import read_state

    found = read_state(run)
    if found is None:
        raise DataError(f"{run} ended without a checkpoint.")
    return found


def _learnt(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's document without its times."""
    records = [{name: row[name] for name in LEARNT} for row in state["records"]]
    return {**state, "records": records}


def _metrics(run: Path) -> list[dict[str, Any]]:
    records = [from_json(EpochRecord, line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: to_plain(getattr(record, name)) for name in LEARNT} for record in records]


def _same_bits(ours: Tensor | None, theirs: Tensor | None) -> bool:
    """NaN is itself, and 0 is not −0."""
    import torch

    if ours is None or theirs is None or (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return False
    return torch.equal(ours.reshape(-1).view(torch.uint8), theirs.reshape(-1).view(torch.uint8))
