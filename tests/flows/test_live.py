"""What a run tells while it goes on: lines that parse, points in TensorBoard, words on a bar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rooflight.core.codec import from_json
from rooflight.core.console import Advance
from rooflight.core.live import StepRecord, Yardstick
from rooflight.core.runs import EpochRecord, TrainResult
from rooflight.core.tables import text
from rooflight.core.training import TrainConfig
from rooflight.flows.live import StepLog, describe_yardstick, live_words, step_points, yardstick_of
from rooflight.flows.setting import decide
from rooflight.flows.train import train
from rooflight.flows.train_trace import trace_step
from rooflight.train.events import EventWriter
from tests.flows.conftest import ROOF

RECORD = StepRecord(
    step=50,
    epoch=2,
    loss=0.4123,
    lr=1e-3,
    samples_per_second=5312.0,
    step_seconds=0.012,
    mfu=0.314,
    memory_share=None,
    data_wait_share=0.031,
    watts=212.4,
    peak_bytes=2**30,
)


def test_live_words_put_the_loss_first_and_say_what_is_not_known() -> None:
    assert live_words(RECORD) == ("loss 0.412", "MFU 31 %", "memory –", "waits for data 3 %", "212 W")
    assert live_words(replace(RECORD, watts=None, loss=None))[0::3] == ("loss –", "waits for data 3 %")


def test_points_are_of_what_is_known() -> None:
    points = step_points(RECORD)
    assert points["step/loss"] == pytest.approx(0.4123)
    assert "step/memory_share" not in points


def test_lines_are_all_kept_and_points_a_second_apart(tmp_path: Path) -> None:
    times = iter([0.0, 0.0, 0.4, 1.2, 1.2])
    written = []

    class Events(EventWriter):
        def scalars(self, step: int, values: object) -> None:
            written.append(step)

    log = StepLog(tmp_path / "steps.jsonl", Events(tmp_path), now=lambda: next(times))
    for step in (1, 2, 3):
        log(replace(RECORD, step=step))
    lines = [from_json(StepRecord, line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert [line.step for line in lines] == [1, 2, 3]
    assert written == [1, 3]


def test_an_unknown_peak_is_said_with_what_to_do() -> None:
    told = describe_yardstick(Yardstick(flops_per_sample=1.0, bytes_per_sample=1.0), "float32")
    assert "none, as no peak is known" in told
    assert "rooflight bench calibrate" in told
    known = Yardstick(
        flops_per_sample=1.0,
        bytes_per_sample=1.0,
        flops_per_second=9.89e14,
        bytes_per_second=3.35e12,
        source="H100 SXM5 80GB",
    )
    assert describe_yardstick(known, "bfloat16") == (
        "shares of the roofline: MFU of 989 TFLOP/s, the dense bfloat16 peak (H100 SXM5 80GB); memory of 3.35 TB/s"
    )
    assert "cannot be traced" in describe_yardstick(replace(known, flops_per_sample=None), "bfloat16")


def test_a_model_asks_for_three_times_its_forward_products(trained: TrainResult) -> None:
    """The first convolution needs no gradient of its input; all others are forward, and backward twice."""
    from rooflight.core.console import Silent
    from rooflight.flows.family import family_of
    from rooflight.flows.train_tuning import loss_of

    config = trained.config
    family = family_of(config)
    found = family.find(config, Silent())
    setting = decide(config, found.info)
    data = family.prepare(found, config, setting)
    batch = next(iter(data.batches.epoch(1)))
    trace = trace_step(config, data.reads, batch, loss_of(config, data, setting), "cpu")
    assert trace.workload.input_shape == (1, 28, 28)
    products = [op for op in trace.ops if op.kind in ("convolution", "matmul")]
    forward = sum(op.flops for op in products if op.phase == "forward")
    first = next(op.flops for op in products if op.kind == "convolution")
    yardstick = yardstick_of(setting, trace, ROOF)
    assert yardstick.flops_per_sample == pytest.approx((3 * forward - first) / config.batch)
    assert yardstick.bytes_per_second == ROOF.bytes_per_second
    assert yardstick.flops_per_second == setting.machine.cpu.peak_flops_per_second.get("float32", 1e11)


class Watching:
    """A console that keeps what it is told, and wants to see something all the time."""

    live_seconds = 0.0

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.live: list[Sequence[str]] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        def advance(amount: int, note: str = "", live: Sequence[str] = ()) -> None:
            self.live += [live] if live else []

        yield advance


def test_a_run_leaves_lines_that_add_up(small_data: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(small_data), epochs=2, batch=50, dtype="float32", device="cpu", log_every=5)
    console = Watching()
    report = train(config, out=tmp_path / "run", roof=ROOF, console=console)
    result = report.answer
    assert isinstance(result, TrainResult)
    lines = [from_json(StepRecord, line) for line in (tmp_path / "run/steps.jsonl").read_text().splitlines()]
    assert [(line.step, line.epoch) for line in lines] == [
        (5, 1),
        (10, 1),
        (15, 1),
        (20, 1),
        (25, 2),
        (30, 2),
        (35, 2),
        (40, 2),
    ]
    for line in lines:
        assert line.loss is not None
        assert line.loss > 0
        assert line.step_seconds is not None
        assert line.samples_per_second is not None
        assert line.data_wait_share is not None
        # A step and the waiting before it are all the time there is.
        assert 50 / line.samples_per_second == pytest.approx(line.step_seconds / (1 - line.data_wait_share))
        assert line.mfu is not None
        assert line.mfu > 0
        assert line.memory_share is not None
        assert line.memory_share > 0
    assert lines[-1].lr < lines[1].lr
    epochs = [from_json(EpochRecord, line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert tuple(epochs) == result.epochs
    assert all(record.mfu and record.step_seconds and record.data_wait_share is not None for record in epochs)
    assert any(words[0].startswith("loss ") for words in console.live)
    assert any(line.startswith("power: ") for line in console.lines)
    assert any(line.startswith("shares of the roofline: MFU of ") for line in console.lines)
    # A step alone is no longer than its part of an epoch, whose rate leaves out neither loading nor watching.
    assert result.epoch_step_seconds is not None
    assert result.epoch_step_seconds > 0.8 * result.step_seconds
    shown = text(report)
    assert "forward, loss, backward, update" in shown
    assert "of it waiting for batches" in shown
    assert "MFU " in shown


def test_no_lines_where_none_are_asked_for(small_data: Path, tmp_path: Path) -> None:
    config = TrainConfig(data=str(small_data), epochs=1, batch=100, dtype="float32", device="cpu", log_every=0)
    train(config, out=tmp_path / "run", roof=ROOF)
    assert not (tmp_path / "run/steps.jsonl").exists()


def test_tensorboard_reads_the_points_of_steps(small_data: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = TrainConfig(data=str(small_data), epochs=1, batch=100, dtype="float32", device="cpu", log_every=5)
    train(config, out=tmp_path / "run", roof=ROOF)
    events = accumulator.EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "step/loss",
        "step/samples_per_second",
        "step/mfu",
        "step/data_wait_share",
        "mfu",
        "data_wait_share",
    } <= tags
