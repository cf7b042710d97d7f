"""The clockwork of a measurement, on a clock that the test winds itself: no real time is compared."""

from collections.abc import Callable

import pytest
import torch

from rooflight.bench import timing
from rooflight.bench.timing import measure, summarise, timed_block
from rooflight.core.errors import ConfigError

CPU = torch.device("cpu")


class Clock:
    """A clock that only moves when a call is made; each call takes the next of the given times, the last for ever."""

    def __init__(self, *seconds: float) -> None:
        self.seconds, self.now, self.calls = list(seconds), 0.0, 0

    def call(self) -> None:
        self.calls += 1
        self.now += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]


@pytest.fixture
def wind(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Clock]:
    def make(*seconds: float) -> Clock:
        clock = Clock(*seconds)
        monkeypatch.setattr(timing, "perf_counter", lambda: clock.now)
        return clock

    return make


def test_seconds_per_call(wind: Callable[..., Clock]) -> None:
    clock = wind(5.0, 0.001)  # the first call loads libraries
    found = measure(clock.call, name="step", device=CPU, blocks=7, block_seconds=0.02)
    assert (found.name, found.unit, found.n) == ("step", "s", 7)
    assert found.median == found.low == found.high == pytest.approx(0.001)  # the first call left no mark


def test_blocks_are_long_enough_for_the_clock(wind: Callable[..., Clock]) -> None:
    clock = wind(0.001)
    measure(clock.call, name="step", device=CPU, blocks=7, block_seconds=0.02, warm_up_seconds=0.0)
    # One call, then 1 + 2 + 4 + 8 + 16 + 32 to find out that 20 fill 20 ms, then 7 blocks of 20.
    assert clock.calls == pytest.approx(1 + 63 + 7 * 20, abs=7)  # ±1 a block: 0.001 has no exact sum


def test_a_long_call_is_a_block_by_itself(wind: Callable[..., Clock]) -> None:
    clock = wind(3.0)
    found = measure(clock.call, name="epoch", device=CPU, blocks=8)
    assert clock.calls == 1 + 1 + 8
    assert found.median == 3.0


def test_quartiles_of_a_rate(wind: Callable[..., Clock]) -> None:
    # After two calls to warm up, 7 blocks of one call: 1 … 7 s, so 420 units of work give rates from 420 to 60.
    clock = wind(1, 1, 1, 2, 3, 4, 5, 6, 7)
    found = measure(clock.call, name="work", device=CPU, unit="units/s", work_per_call=420, blocks=7)
    # Rates in order: 60 70 84 105 140 210 420; quartiles lie at positions 1.5, 3 and 4.5.
    assert (found.low, found.median, found.high) == ((70 + 84) / 2, 105, (140 + 210) / 2)


def test_summarise_orders_the_quartiles() -> None:
    found = summarise([3.0, 1.0, 2.0, 5.0, 4.0], name="x", unit="s")
    assert (found.low, found.median, found.high, found.n) == (2.0, 3.0, 4.0, 5)


@pytest.mark.parametrize(
    ("unit", "work", "blocks", "told"),
    [
        ("FLOP/s", None, 9, "needs work_per_call"),
        ("s", 1.0, 9, "is no rate"),
        ("FLOP/s", 0.0, 9, "is no rate"),
        ("s", None, 6, "too few"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    unit: str, work: float | None, blocks: int, told: str
) -> None:
    clock = Clock(1.0)
    with pytest.raises(ConfigError, match=told):
        measure(clock.call, name="x", device=CPU, unit=unit, work_per_call=work, blocks=blocks)
    assert clock.calls == 0


def test_an_error_of_the_callable_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        measure(lambda: torch.mm(torch.ones(2, 3), torch.ones(2, 3)), name="x", device=CPU)


@pytest.mark.gpu
def test_cuda_time_includes_the_devices_work() -> None:
    device = torch.device("cuda")
    x = torch.randn(4096, 4096, device=device)

    def run() -> None:
        for _ in range(20):
            torch.mm(x, x)

    run()
    # 20 products of 4096³ are 2.7 TFLOP: no GPU does them in the time that it takes to issue them (some 0.1 ms).
    assert timed_block(run, 1, device) > 20 * 2 * 4096**3 / 5e15
    found = measure(run, name="mm", device=device, unit="FLOP/s", work_per_call=20 * 2 * 4096**3)
    assert 1e10 < found.low <= found.median <= found.high < 5e15
