"""The engine is chosen by its time, the choice says why, and it is kept."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from rooflight.core.errors import ConfigError
from rooflight.data.engines import choose as choosing
from rooflight.data.engines.choose import choose, engines, named_engine
from rooflight.data.pipeline.program import Program
from tests.data.engines.programs import MAIN, pictures, program_of


class Timed:
    """An engine that takes so many seconds of a clock of its own."""

    def __init__(self, name: str, seconds: float, clock: list[float], refusal: str | None = None) -> None:
        self.name, self.seconds, self.clock, self.refusal, self.runs = name, seconds, clock, refusal, 0

    def refuses(self, program: Program, images: Tensor) -> str | None:
        return self.refusal

    def run(self, program: Program, images: Tensor, out: Tensor | None = None) -> Tensor:
        self.clock[0] += self.seconds
        self.runs += 1
        return images


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Timed], list[float]]:
    clock = [0.0]
    listed = [Timed("absent", 0.0, clock, "it is not here"), Timed("fast", 0.5, clock), Timed("slow", 20.0, clock)]
    monkeypatch.setattr(choosing, "engines", lambda: {engine.name: engine for engine in listed})
    return listed, clock


def test_the_fastest_is_taken_and_the_reason_has_the_rates(three: tuple[list[Timed], list[float]]) -> None:
    (absent, fast, slow), clock = three
    images = pictures(4)
    choice = choose(program_of(MAIN, images), images, clock=lambda: clock[0])
    assert choice.engine == "fast"
    assert choice.images_per_second == {"fast": 8.0, "slow": 0.2}
    assert choice.refused == {"absent": "it is not here"}
    assert choice.reason == "fastest: fast 8 images/s, slow 0 images/s; absent cannot: it is not here"
    assert (absent.runs, fast.runs, slow.runs) == (0, 4, 1)  # forty times slower is not run again


def test_an_answer_is_kept_and_a_damaged_one_replaced(three: tuple[list[Timed], list[float]], tmp_path: Path) -> None:
    (_, fast, _), clock = three
    images = pictures(4)
    program = program_of(MAIN, images)
    choose(program, images, kept=tmp_path, clock=lambda: clock[0])
    runs = fast.runs
    again = choose(program, images, kept=tmp_path, clock=lambda: clock[0])
    assert again.engine == "fast"
    assert "kept from an earlier run" in again.reason
    assert fast.runs == runs
    other = pictures(5)
    choose(program_of(MAIN, other), other, kept=tmp_path, clock=lambda: clock[0])  # another batch: another question
    assert len(list(tmp_path.iterdir())) == 2
    for file in tmp_path.iterdir():
        file.write_text("{")
    choose(program, images, kept=tmp_path, clock=lambda: clock[0])
    assert fast.runs == runs + 8


def test_an_unknown_engine_is_named_with_the_nearest() -> None:
    assert set(engines()) == {"gpu", "cpu", "torch"}
    assert named_engine("torch").refuses(program_of(MAIN, pictures(1)), pictures(1)) is None
    with pytest.raises(ConfigError, match="no engine 'tourch'"):
        named_engine("tourch")


def test_the_torch_engine_fills_the_tensor_it_is_given() -> None:
    images = pictures(2)
    program = program_of(MAIN, images)
    out = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    assert named_engine("torch").run(program, images, out) is out
    assert torch.equal(out, named_engine("torch").run(program, images))
