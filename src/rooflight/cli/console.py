"""Progress on stderr: bars where it is a terminal, a line now and then where it is not."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from rooflight.core.console import Advance
from rooflight.core.units import show_rate, show_seconds

LIVE_SECONDS = 0.5  # on a terminal
LINE_SECONDS = 10.0  # off a terminal, where each is a line of a log
NARROW = 110  # cells of a terminal in which a long bar leaves no room for words


class TerminalConsole:
    """Says what a flow does, on stderr, so that stdout holds the answer alone."""

    def __init__(self, rich: RichConsole | None = None) -> None:
        self.rich = rich or RichConsole(stderr=True, highlight=False)
        self.live_seconds = LIVE_SECONDS if self.rich.is_terminal else LINE_SECONDS

    def say(self, line: str) -> None:
        """One line."""
        self.rich.print(line, markup=False, soft_wrap=True, style="dim")

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar with rate and remaining time in one line; off a terminal, each note and live text becomes a line."""
        if not self.rich.is_terminal:
            yield Lines(title, total, unit)
            return
        whole = Column(no_wrap=True)
        columns = (
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=24 if self.rich.width >= NARROW else 8),
            MofNCompleteColumn(table_column=whole),
            _Rate(unit),
            TimeRemainingColumn(table_column=whole),
            TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        )
        with Progress(*columns, console=self.rich, expand=True) as progress:
            task = progress.add_task(title, total=total, words="")
            shown = {"note": "", "live": ""}

            def advance(amount: int, note: str = "", live: Sequence[str] = ()) -> None:
                progress.advance(task, amount)
                if note or live:
                    shown["note"], shown["live"] = note or shown["note"], " · ".join(live) or shown["live"]
                    progress.update(task, words="  ".join(filter(None, (shown["live"], shown["note"]))))

            yield advance


class Lines:
    """Progress where there is no terminal: lines that a log keeps."""

    def __init__(self, title: str, total: int, unit: str, now: Callable[[], float] = time.monotonic) -> None:
        self.title, self.total, self.unit, self.now = title, total, unit, now
        self.done, self.begin = 0, now()

    def __call__(self, amount: int, note: str = "", live: Sequence[str] = ()) -> None:
        """One line if there is something to tell."""
        self.done += amount
        if live:
            self._print(", ".join((self._how_far(), *live)))
        if note:
            self._print(note)

    def _how_far(self) -> str:
        told, spent = f"{self.title}: {self.done:,} of {self.total:,} {self.unit}", self.now() - self.begin
        return f"{told}, {show_seconds(spent * (self.total / self.done - 1))} left" if self.done else told

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class _Rate(ProgressColumn):
    """samples/s"""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The rate since the bar began."""
        return Text(show_rate(task.speed, self.unit) if task.speed else "")


def draws_braille() -> bool:
    """Does stdout's encoding know braille, in which plots are drawn?"""
    try:
        "⣿".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
