"""What `rooflight prove` found."""

from collections.abc import Mapping
from dataclasses import dataclass

from rooflight.core.training import TrainConfig
from rooflight.core.types import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One process that was ended by SIGKILL, and what the next one found."""

    run: int  # which of the killed runs, counted from 1
    moment: str  # what was waited for: "start", "step", "save"
    in_save: bool  # a save was under way: its folder was unfinished, or not yet the one that `latest` names
    logged_steps: int  # steps that this process had been fed
    resumed_step: int  # of the checkpoint that the next process went on from; 0: from the beginning
    fell_back: int  # newer checkpoints that were not whole
    equal: bool | None  # that checkpoint and the uninterrupted run's of the same step; None: there is no such one


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A training killed again and again, beside the same one left alone."""

    config: TrainConfig
    seed: int  # of the moments
    kills: tuple[Kill, ...]
    kills_in_saves: int
    runs: int  # that were killed, resumed and then let finish
    steps: int  # of a run
    steps_repeated: int  # in all runs
    fell_back: int  # resumes that skipped a checkpoint that was not whole
    checkpoints_equal: int  # kills after which the checkpoint gone on from was the uninterrupted run's, bit for bit
    checkpoints_compared: int
    equal: Mapping[str, bool]  # at the end, of all runs: weights, optimizer, averages, sample log, metrics, …
    differences: tuple[str, ...]  # what differs, and where
    seconds: float
    environment: Environment

    @property
    def proven(self) -> bool:
        """Is everything equal?"""
        return all(self.equal.values()) and self.checkpoints_equal == self.checkpoints_compared
