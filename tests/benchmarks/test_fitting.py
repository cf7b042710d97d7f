"""The fit: it finds figures again that made the measurements, and what it holds out had no part in them."""

from dataclasses import replace

import numpy as np
from benchmarks.accuracy.figures import FIGURES, FIXED
from benchmarks.accuracy.fitting import Fitting
from benchmarks.accuracy.points import Point

from rooflight.estimate.device import device
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import Shares
from rooflight.estimate.step import step
from rooflight.estimate.table import table
from tests.estimate.gpus import GPU, pointwise, product, step_of

TRUE = {name: figure.about for name, figure in {**FIGURES, **FIXED}.items()} | {"memory_elementwise": 0.8}


def made(machine: str, name: str, *, slower: float = 1.0) -> list[Point]:
    """Steps of one machine, as long as the true figures make them, and slower by a factor."""
    shares, spec = Shares(values=TRUE, intervals={}, source=""), replace(GPU, name=name)
    found = []
    for size in (2**28, 2**29, 2**30):
        columns = table(step_of(*[pointwise(size)] * 20, product(4096, 4096, 4096)))
        seconds = slower * step(columns, device(spec, shares), Setting(), shares).seconds
        found.append(
            Point(
                seconds=seconds,
                table=columns,
                spec=spec,
                setting=Setting(),
                model=f"net{size}",
                group=(machine, name, "infer"),
                machine=machine,
            )
        )
    return found


def test_rows_move_a_figure_from_what_it_was_held_to_be_towards_what_made_them() -> None:
    few, many = (Fitting(times * [*made("a", "A"), *made("b", "B")]) for times in (1, 8))
    before = np.abs(few.errors(few.about)).mean()
    little, much = (one.run(rounds=6, tell=lambda _: None) for one in (few, many))
    assert 0.9 > little.shares()["memory_elementwise"] > much.shares()["memory_elementwise"] > 0.8
    assert np.abs(many.errors(much.logs)).mean() < 0.5 * before


def test_a_slow_card_is_told_from_the_others() -> None:
    fitting = Fitting(8 * [*made("a", "A"), *made("b", "B", slower=1.1)])
    machines = fitting.run(rounds=6, tell=lambda _: None).shares().machines
    assert machines["b"].gpu > 1.03 * machines["a"].gpu


def test_what_is_held_out_is_predicted_worse_than_what_was_fitted() -> None:
    fitting = Fitting([*made("a", "A"), *made("b", "B", slower=1.2)])
    fit = fitting.run(rounds=6, tell=lambda _: None)
    left = fitting.held_out(fit, fitting.slopes(fit.logs), lambda point: point.spec.name, lambda _: None)
    assert np.abs(left).mean() > np.abs(fitting.errors(fit.logs)).mean()
    assert left[3:].max() < 0.0  # the slow card, unseen, is thought faster than it is
