"""What `train --profile` answers: where a step's time goes, and what would shorten it."""

from dataclasses import dataclass
from typing import Literal

from rooflight.core.types import Environment

Limit = Literal["data", "launch", "compute", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorShare:
    """One class of operators in a step, and how near it comes to what the device allows."""

    name: str  # "convolution", "matrix product", "batch norm", …
    seconds: float  # of a step
    share: float  # of a step and the waiting before it
    bound_by: Literal["compute", "memory"] | None  # by the roof; None: the trace has no such class
    roof_share: float | None  # least time by the roof / measured time; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something to do differently, and what it would give."""

    name: str  # "bfloat16", "a batch of 256"
    flags: str  # of rooflight train
    predicted_gain: float | None  # samples/s after / before; None: not predicted
    at_most: bool = False  # the gain is a bound: what is left if a whole part of the step went away
    measured_gain: float | None = None  # the same, tried; None: not tried
    note: str = ""  # why it was not tried, or what else to know


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfile:
    """A training step taken apart. Its parts add up: waiting for data + launch + operators."""

    model: str
    device: str
    dtype: str
    batch: int
    steps: int  # that were timed, and as many profiled
    samples_per_second: float  # with waiting
    step_seconds: float  # without waiting
    data_seconds: float  # waiting for the batch
    launch_seconds: float  # of the step, in which no operator ran: the host prepares, Python and autograd
    operators: tuple[OperatorShare, ...]  # the longest first
    limited_by: Limit  # what most of the time goes to
    mfu: float | None
    memory_share: float | None
    predicted_step_seconds: float  # by estimate, on the roof
    changes: tuple[Change, ...]
    sentences: tuple[str, ...]
    roof: str  # what "allows" means
    environment: Environment

    @property
    def whole_seconds(self) -> float:
        """A step and the waiting before it."""
        return self.step_seconds + self.data_seconds
