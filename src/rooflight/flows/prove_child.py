"""The process that `rooflight prove` kills: it trains, or goes on with what another has begun."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from rooflight.core.codec import from_json
from rooflight.core.errors import RooflightError
from rooflight.core.training import TrainConfig

if TYPE_CHECKING:
    from rooflight.train.loop import EpochBatches

SAMPLES = "samples.jsonl"


def train_or_resume(run: Path, document: str, errors: Connection) -> None:
    """Train in a new folder, or resume the run that is there. An error's sentence goes to `errors`.

    document  the configuration as JSON
    """
    from rooflight.flows.train import resume, train
    from rooflight.train.sample_log import LoggedBatches

    config = from_json(TrainConfig, document)

    def logged(batches: EpochBatches, run: Path) -> EpochBatches:
        return LoggedBatches(batches, run / SAMPLES, batch=config.batch)

    try:
        if (run / "config.json").is_file():
            resume(run, {}, observe=logged, compare=False)
        else:
            train(config, out=run, observe=logged, compare=False)
    except (RooflightError, OSError) as error:
        errors.send(str(error))
        sys.exit(2)
