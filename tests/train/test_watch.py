"""What a watcher tells of a run, with clocks that are turned by hand."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rooflight.core.live import Pace, StepRecord, Yardstick
from rooflight.train.late import LateNumber
from rooflight.train.step_clock import DeviceClock, HostClock, clock_of
from rooflight.train.watch import Watcher, timed

# 2 MFLOP and 1 kB a sample on a device of 1 GFLOP/s and 1 MB/s.
YARDSTICK = Yardstick(flops_per_sample=2e6, bytes_per_sample=1e3, flops_per_second=1e9, bytes_per_second=1e6)
CPU = torch.device("cpu")


class Hand:
    """A clock that stands until it is moved on."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def watch(hand: Hand, **options: Any) -> Watcher:
    return Watcher(CPU, YARDSTICK, lr=lambda step: 0.1 / (step + 1), clock=HostClock(hand), now=hand, **options)


def run(watcher: Watcher, hand: Hand, steps: range, *, wait: float, work: float, samples: int = 10) -> None:
    """Steps of so many seconds, each after so much waiting."""

    def made() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in steps:
            hand.seconds += wait
            yield torch.zeros(samples, 1), torch.zeros(samples, dtype=torch.int64)

    for step, _ in zip(steps, timed(made(), watcher.clock), strict=False):
        hand.seconds += work
        watcher.step_done(step=step, epoch=1, samples=samples, loss=lambda step=step: torch.tensor(1.0 / step))


def test_a_line_holds_the_figures_of_the_steps_since_the_last() -> None:
    hand, lines = Hand(), list[StepRecord]()
    watcher = watch(hand, log_every=4, on_log=lines.append)
    run(watcher, hand, range(1, 9), wait=0.01, work=0.03)
    first, second = lines
    assert (first.step, second.step) == (4, 8)
    assert second.samples_per_second == pytest.approx(10 / 0.04)  # 250 samples/s
    assert second.mfu == pytest.approx(250 * 2e6 / 1e9)
    assert second.memory_share == pytest.approx(250 * 1e3 / 1e6)
    assert second.data_wait_share == pytest.approx(0.01 / 0.04)
    assert second.step_seconds == pytest.approx(0.03)
    assert second.loss == pytest.approx(1 / 8)
    assert second.lr == pytest.approx(0.1 / 8)
    assert second.watts is None
    assert second.peak_bytes is None or second.peak_bytes > 0


def test_evaluation_between_epochs_is_no_waiting() -> None:
    hand = Hand()
    watcher = watch(hand)
    run(watcher, hand, range(1, 5), wait=0.01, work=0.03)
    watcher.epoch_pace()
    hand.seconds += 100  # evaluation, saving
    run(watcher, hand, range(5, 9), wait=0.01, work=0.01)
    pace = watcher.epoch_pace()
    assert pace.data_wait_share == pytest.approx(0.5)
    assert pace.samples_per_second == pytest.approx(10 / 0.02)


def test_a_step_by_itself_is_told_without_waiting_for_data() -> None:
    hand = Hand()
    watcher = watch(hand)
    assert watcher.step_seconds() is None
    run(watcher, hand, range(1, 4), wait=0.5, work=0.02)
    run(watcher, hand, range(4, 5), wait=0.5, work=9.0)  # one that something else held up
    assert watcher.step_seconds() == pytest.approx(0.02)


def test_without_a_peak_there_is_no_share() -> None:
    hand, lines = Hand(), list[StepRecord]()
    watcher = Watcher(
        CPU,
        Yardstick(flops_per_sample=2e6),
        lr=lambda step: 0.1,
        clock=HostClock(hand),
        now=hand,
        log_every=1,
        on_log=lines.append,
    )
    run(watcher, hand, range(1, 2), wait=0.0, work=0.01)
    assert (lines[0].mfu, lines[0].memory_share) == (None, None)
    assert lines[0].samples_per_second == pytest.approx(1000)


def test_several_devices_share_the_peak() -> None:
    both = Yardstick(flops_per_sample=2e6, flops_per_second=1e9, devices=2)
    assert both.mfu(250) == pytest.approx(0.25)


def test_what_is_shown_comes_by_the_clock_and_not_by_the_step() -> None:
    hand, shown = Hand(), list[StepRecord]()
    watcher = watch(hand, show_seconds=1.0, on_show=shown.append)
    run(watcher, hand, range(1, 101), wait=0.0, work=1 / 32)
    assert [record.step for record in shown] == [32, 64, 96]


def test_the_loss_is_read_only_where_it_is_told() -> None:
    hand, read = Hand(), list[int]()
    watcher = watch(hand, log_every=10)
    for step in range(1, 31):
        watcher.clock.got()

        def loss(step: int = step) -> torch.Tensor:
            read.append(step)
            return torch.tensor(1.0)

        watcher.step_done(step=step, epoch=1, samples=1, loss=loss)
    assert read == [10, 20, 30]


def test_a_loss_that_is_no_number_is_null() -> None:
    hand, lines = Hand(), list[StepRecord]()
    watcher = watch(hand, log_every=1, on_log=lines.append)
    watcher.step_done(step=1, epoch=1, samples=1, loss=lambda: torch.tensor(float("nan")))
    assert lines[0].loss is None


def test_power_is_energy_over_time() -> None:
    hand, lines = Hand(), list[StepRecord]()
    # 200 W from a meter that counts joules.
    watcher = watch(hand, log_every=50, on_log=lines.append, joules=lambda: 200 * hand.seconds)
    run(watcher, hand, range(1, 101), wait=0.0, work=0.02)
    assert [line.watts for line in lines] == [pytest.approx(200), pytest.approx(200)]
    assert watcher.epoch_pace().watts == pytest.approx(200)


def test_before_the_first_step_nothing_is_known() -> None:
    assert watch(Hand()).epoch_pace() == Pace()


class Mark:
    """As an event of CUDA: passed when the device's clock has come to it."""

    device = 0.0  # when what has been issued so far will be done
    passed = 0.0  # how far the device has come

    def __init__(self) -> None:
        self.at = Mark.device

    def query(self) -> bool:
        return Mark.passed >= self.at

    def elapsed_time(self, later: "Mark") -> float:
        return 1000 * (later.at - self.at)


def test_a_gpu_waits_between_the_end_of_a_step_and_the_beginning_of_the_next() -> None:
    clock = DeviceClock(Mark)
    Mark.device = Mark.passed = 0.0
    for idle, busy in ((5.0, 1.0), (0.5, 1.0), (0.25, 2.0)):
        clock.asked()
        Mark.device += idle
        clock.got()
        Mark.device += busy
        clock.done(7)
    assert clock.laps() == []  # the device has not come so far: nobody waits for it
    Mark.passed = 7.5
    assert clock.laps() == [(7, 0.0, 1.0), (7, 0.5, 1.0)]  # what was before the first step was no training
    Mark.passed = Mark.device
    assert clock.laps() == [(7, 0.25, 2.0)]
    clock.interrupt()
    Mark.device += 60.0  # evaluation
    clock.got()
    clock.done(7)
    Mark.passed = Mark.device
    assert clock.laps() == [(7, 0.0, 0.0)]


@pytest.mark.gpu
def test_a_gpus_clock_tells_busy_from_idle() -> None:
    device = torch.device("cuda")
    clock, x = clock_of(device), torch.randn(4096, 4096, device=device)
    for _ in range(3):
        clock.asked()
        torch.cuda.synchronize()
        time.sleep(0.05)  # the device has nothing to do
        clock.got()
        for _ in range(50):
            x @ x
        clock.done(1)
    torch.cuda.synchronize()
    (_, first, _), *others = clock.laps()
    assert first == 0.0
    for _, waited, worked in others:
        assert 0.045 < waited < 0.5
        assert worked > 0.001


@pytest.mark.gpu
def test_a_gpus_number_arrives_later() -> None:
    number = LateNumber(torch.full((), 2.5, device="cuda"))
    assert number.read() == 2.5
    assert number.here()
