"""Taking turns, on a clock that the test winds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from rooflight.bench import timing
from rooflight.bench.rounds import Contestant, speedup, take_turns

CPU = torch.device("cpu")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """(who, seconds that the call takes), call by call; the clock is their sum."""
    calls: list[tuple[str, float]] = []
    monkeypatch.setattr(timing, "perf_counter", lambda: sum(seconds for _, seconds in calls))
    return calls


def contestant(log: list[tuple[str, float]], name: str, seconds: Callable[[], float]) -> Contestant:
    return Contestant(run=lambda: log.append((name, seconds())), device=CPU)


def test_each_round_runs_a_block_of_each_and_the_first_moves_on(log: list[tuple[str, float]]) -> None:
    found = take_turns({"a": contestant(log, "a", lambda: 0.5), "b": contestant(log, "b", lambda: 0.25)}, rounds=3)
    assert found == {"a": [0.5, 0.5, 0.5], "b": [0.25, 0.25, 0.25]}
    # A call of half a second is a block by itself. Each turn is a call that does not count and a block of one.
    turns = "".join(name for name, _ in log)[-12:]
    assert turns == "aabb" + "bbaa" + "aabb"


def test_a_drift_of_the_machine_cancels_in_the_ratio(log: list[tuple[str, float]]) -> None:
    """All calls take longer and longer; `b` takes half of `a` all along."""
    slow = lambda: 1.0 + len(log)  # noqa: E731
    found = take_turns({"a": contestant(log, "a", slow), "b": contestant(log, "b", lambda: slow() / 2)}, rounds=9)
    assert found["a"][-1] > 1.5 * found["a"][0]
    assert speedup(found["a"], found["b"]) == pytest.approx(2.0, rel=0.15)


def test_what_is_set_is_set_in_its_own_turns_only(log: list[tuple[str, float]]) -> None:
    state, seen = ["off"], set()

    @contextmanager
    def on() -> Iterator[None]:
        state[0] = "on"
        yield
        state[0] = "off"

    def run(name: str) -> Callable[[], None]:
        return lambda: (seen.add((name, state[0])), log.append((name, 1.0)))[0]

    take_turns(
        {
            "a": Contestant(run=run("a"), device=CPU),
            "b": Contestant(run=run("b"), device=CPU, setting=on),
        },
        rounds=2,
    )
    assert seen == {("a", "off"), ("b", "on")}


def test_the_speedup_is_the_median_of_the_rounds_ratios() -> None:
    assert speedup([4.0, 4.0, 8.0], [2.0, 1.0, 8.0]) == 2.0
