"""The fitted figures: what share of a data sheet's rates kernels reach, and what a launch costs. Data, not code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How much longer than the usual one a machine's host takes to issue operators, and its GPU to work them off."""

    host: float = 1.0
    gpu: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Every fitted figure by its name, with where it comes from. shares.json says what each means."""

    values: Mapping[str, float]
    intervals: Mapping[
        str, tuple[float, float]
    ]  # by class of workload: measured / predicted rate, 10th and 90th percentile
    source: str
    machines: Mapping[str, Machine] = field(default_factory=dict)  # that the fit's rows were measured on

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def get(self, name: str, otherwise: float) -> float:
        return self.values.get(name, otherwise)


def interval_class(task: str, bound_by: str) -> str:
    """Which interval a step gets: a host differs from another more than a kernel does."""
    return f"{task}, {'launch' if bound_by == 'launch' else 'kernels'}"


@cache
def load_shares() -> Shares:
    """The figures that come with the package, as benchmarks/fit_estimate.py wrote them."""
    document = json.loads(files("rooflight.estimate").joinpath("shares.json").read_text(encoding="utf-8"))
    return Shares(
        values={name: entry["value"] for name, entry in document["shares"].items()},
        intervals={name: (low, high) for name, (low, high) in document["intervals"].items()},
        source=document["source"],
        machines={name: Machine(**factors) for name, factors in document["machines"].items()},
    )
