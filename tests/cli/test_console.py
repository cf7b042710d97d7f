"""Progress on a terminal and off it."""

import io

import pytest
from rich.console import Console as RichConsole

from rooflight.cli.console import Lines, TerminalConsole
from rooflight.core.console import Silent

LIVE = ("loss 0.412", "MFU 31 %", "memory 62 %", "waits for data 3 %", "212 W")


def drawn(width: int) -> list[str]:
    """The lines of a bar on a terminal of that width, as they last stood."""
    rich = RichConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    console = TerminalConsole(rich)
    with console.bar("train cnn", 60_000, "samples") as advance:
        advance(12_800, live=LIVE)
        advance(0, note="epoch 1/5, test accuracy 91.2 %")
    file = rich.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().replace("\r", "\n").split("\n") if "train cnn" in line]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_bar_stays_within_one_line_of_the_terminal(width: int) -> None:
    for line in drawn(width):
        assert len(line.replace("\x1b[2K", "").replace("\x1b[?25l", "").replace("\x1b[?25h", "")) <= width, line


def test_what_matters_most_is_shown_first() -> None:
    assert "loss 0.412 · MFU 31 % · memory 62 % · waits for data 3 % · 212 W  epoch 1/5" in drawn(200)[-1]
    assert "loss 0.412" in drawn(100)[-1]
    assert "212 W" not in drawn(100)[-1]


def test_off_a_terminal_a_line_tells_how_far_it_is_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([100.0, 110.0])
    lines = Lines("train cnn", 60_000, "samples", now=lambda: next(times))
    lines(10_000)
    lines(5_000, live=LIVE[:2])  # 15,000 samples in 10 s: 45,000 more take 30 s
    lines(0, note="epoch 1/5")
    assert capsys.readouterr().err.splitlines() == [
        "train cnn: 15,000 of 60,000 samples, 30.0 s left, loss 0.412, MFU 31 %",
        "epoch 1/5",
    ]


def test_a_flow_that_nobody_watches_makes_no_live_text() -> None:
    assert Silent.live_seconds == float("inf")
    assert TerminalConsole(RichConsole(file=io.StringIO())).live_seconds == 10
