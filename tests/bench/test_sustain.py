"""Sustained rates and energy, on a clock that the test winds and a meter that counts with it."""

import time
from collections.abc import Callable

import pytest
import torch

from rooflight.bench import sustain, timing
from rooflight.bench.timing import Load
from rooflight.core.types import GpuState

CPU = torch.device("cpu")


class Device:
    """A made-up device: every call takes `seconds` of its clock, more once it is warm; it draws 200 W."""

    name = "made-up counter"

    def __init__(self, *, seconds: float, warm_seconds: float, warm_after: float, counts: bool = True) -> None:
        self.now, self.calls = 0.0, 0
        self.seconds, self.warm_seconds, self.warm_after, self.counts = seconds, warm_seconds, warm_after, counts

    def call(self) -> None:
        self.calls += 1
        self.now += self.seconds if self.now < self.warm_after else self.warm_seconds

    def joules(self) -> float | None:
        return 200.0 * self.now if self.counts else None

    def state(self) -> GpuState:
        return GpuState(core_clock_hz=1.5e9, power_watts=190.0, throttled_by=("heat",))

    def close(self) -> None:
        pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[timing.Measurement, float | None]]:
    def make(device: Device, seconds: float) -> tuple[timing.Measurement, float | None]:
        monkeypatch.setattr(timing, "perf_counter", lambda: device.now)
        monkeypatch.setattr(sustain, "perf_counter", lambda: device.now)
        load = Load(name="work", unit="FLOP/s", work=1000.0, run=device.call)
        return sustain.sustain(load, CPU, seconds=seconds, meter=device)

    return make


def test_the_rate_is_that_of_the_warm_device(run: Callable[..., tuple[timing.Measurement, float | None]]) -> None:
    found, _ = run(Device(seconds=0.01, warm_seconds=0.02, warm_after=2.0), 10.0)
    assert found.name == "work, sustained"
    assert found.median == pytest.approx(1000 / 0.02)  # the first 2 of 10 s are not in the later half


def test_energy_is_the_counters_difference(run: Callable[..., tuple[timing.Measurement, float | None]]) -> None:
    found, per_joule = run(Device(seconds=0.01, warm_seconds=0.01, warm_after=0.0), 6.0)
    assert found.watts == pytest.approx(200.0)
    assert per_joule == pytest.approx(1000 / (200.0 * 0.01))  # a call's work over a call's joules


def test_a_short_window_tells_no_power(run: Callable[..., tuple[timing.Measurement, float | None]]) -> None:
    found, per_joule = run(Device(seconds=0.01, warm_seconds=0.01, warm_after=0.0), 4.0)
    assert (found.watts, per_joule) == (None, None)


def test_power_without_a_counter_is_the_samples_mean() -> None:
    states = [GpuState(power_watts=100.0), GpuState(power_watts=None), GpuState(power_watts=140.0)]
    assert sustain.average_watts(None, 6.0, states) == 120.0
    assert sustain.average_watts(None, 6.0, []) is None
    assert sustain.average_watts(600.0, 6.0, states) == 100.0


def test_states_are_sampled_while_the_body_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sustain, "SAMPLE_SECONDS", 0.001)
    meter = Device(seconds=1, warm_seconds=1, warm_after=0)
    with sustain.Samples(meter) as samples:
        while len(samples.states) < 3:
            samples._stop.wait(0.001)
    assert {state.throttled_by for state in samples.states} == {("heat",)}
    count = len(samples.states)
    samples._stop.wait(0.01)
    assert len(samples.states) == count  # the thread has ended
    with sustain.Samples(None) as samples:
        pass
    assert samples.states == []


def test_a_state_that_cannot_be_read_is_a_sample_less(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shaky(Device):
        asked = 0

        def state(self) -> GpuState:
            self.asked += 1
            if self.asked == 1:
                raise RuntimeError("the GPU fell off the bus")
            return super().state()

    monkeypatch.setattr(sustain, "SAMPLE_SECONDS", 0.01)
    meter = Shaky(seconds=1.0, warm_seconds=1.0, warm_after=0.0)
    with sustain.Samples(meter) as samples:
        time.sleep(0.2)
    assert len(samples.states) == meter.asked - 1 > 0
