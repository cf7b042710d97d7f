"""Processes that train, watched from outside through the files they leave, and ended by SIGKILL at drawn moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rooflight.core.errors import BackendError
from rooflight.flows.prove_child import SAMPLES, train_or_resume

POLL_SECONDS = 0.0005
STUCK_SECONDS = 900.0  # without a new line, step or end
SAVE_SECONDS = 0.03  # a kill comes up to so long after a save has begun: about as long as one lasts
# Imported once, by the process that the others are forked from: a fork costs milliseconds, these take seconds.
PRELOADED = (
    "torch",
    "torchvision",
    "torch._dynamo",
    "rooflight.train.fit",
    "rooflight.train.checkpoint.saver",
    "rooflight.flows.train",
    "rooflight.flows.train_trace",
    "rooflight.data.batches",
    "rooflight.data.images",
    "rooflight.models.registry",
    "rooflight.trace.tracer",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When to kill a process."""

    kind: Literal["start", "step", "save"]
    steps: int = 0  # to wait for first
    seconds: float = 0.0  # and then


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One process."""

    killed: bool  # False: it came to its end before its moment
    steps: int  # that it was fed
    in_save: bool = False


class Processes:
    """Starts processes that train: each from one that has imported everything and touched no data and no device."""

    def __init__(self) -> None:
        """raises BackendError where processes cannot be forked"""
        if "forkserver" not in multiprocessing.get_all_start_methods():
            raise BackendError("rooflight prove forks and kills processes, which this system cannot. Try it on Linux.")
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(PRELOADED))

    def run(self, run: Path, document: str, moment: Moment | None = None) -> Life:
        """Train in `run`, or go on there, until the moment or the end.

        raises  BackendError if the process ends by itself before the training's end
        """
        told, errors = self.context.Pipe(duplex=False)
        if not (run / "config.json").is_file():
            shutil.rmtree(run, ignore_errors=True)  # killed before there was anything to go on with
        process = self.context.Process(target=train_or_resume, args=(run, document, errors))
        fed, saved = count_lines(run / SAMPLES), saved_names(run)
        process.start()
        errors.close()
        try:
            killed = moment is not None and _wait(run, moment, fed, saved, process.is_alive)
            if killed:
                process.kill()
            process.join()
            if process.exitcode and not killed:
                why = told.recv() if told.poll() else f"it ended with exit code {process.exitcode}"
                raise BackendError(f"the training in {run} failed: {why}")
        finally:
            process.kill()
            process.join()
            told.close()
        killed = killed and process.exitcode != 0  # it may have ended just before
        steps = count_lines(run / SAMPLES) - fed
        return Life(killed=killed, steps=steps, in_save=killed and steps > 0 and saving(run, saved))


def draw_moment(generator: random.Random, span: int, *, in_save: bool) -> Moment:
    """A moment within `span` steps of the process's first; at times before that one."""
    steps = generator.randrange(span)
    if in_save:
        return Moment(kind="save", steps=max(1, steps), seconds=generator.uniform(0, SAVE_SECONDS))
    if not steps:
        return Moment(kind="start", seconds=generator.uniform(0, 1))
    return Moment(kind="step", steps=steps, seconds=generator.uniform(0, 0.01))


def saved_names(run: Path) -> set[str]:
    """What is in the folder of checkpoints, finished or not."""
    try:
        return set(os.listdir(run / "checkpoints"))
    except FileNotFoundError:
        return set()


def saving(run: Path, before: set[str]) -> bool:
    """Is a save under way? Of a process that has taken a step: what an earlier one left unfinished is gone then.

    before  the names of when the process began
    """
    names = saved_names(run)
    if any(name.startswith(".step-") for name in names):
        return True
    new = {name for name in names - before if name.startswith("step-")}
    latest = run / "checkpoints/latest"
    return bool(new) and (not latest.is_file() or max(new) > latest.read_text().strip())


def count_lines(path: Path) -> int:
    """Of a file that may not be there yet."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _wait(run: Path, moment: Moment, fed: int, saved: set[str], alive: Callable[[], bool]) -> bool:
    """Until the moment has come; False if the process ends first. `fed`, `saved`: lines and names as it began."""
    if moment.kind != "start" and not _until(lambda: count_lines(run / SAMPLES) - fed >= moment.steps, alive):
        return False
    if moment.kind == "save" and not _until(lambda: saving(run, saved), alive):
        return False
    time.sleep(moment.seconds)
    return alive()


def _until(happened: Callable[[], bool], alive: Callable[[], bool]) -> bool:
    begin = time.monotonic()
    while not happened():
        if not alive():
            return False
        if time.monotonic() - begin > STUCK_SECONDS:
            raise BackendError(f"the training took no step in {STUCK_SECONDS:.0f} s. Try a smaller model or set.")
        time.sleep(POLL_SECONDS)
    return True
