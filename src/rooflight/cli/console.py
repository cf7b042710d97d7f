"""Progress on stderr: bars where it is a terminal, a line now and then where it is not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from rooflight.core.console import Advance
from rooflight.core.units import show_rate


class TerminalConsole:
    """Says what a flow does, on stderr, so that stdout holds the answer alone."""

    def __init__(self) -> None:
        self.rich = RichConsole(stderr=True, highlight=False)

    def say(self, line: str) -> None:
        """One line."""
        self.rich.print(line, markup=False, soft_wrap=True, style="dim")

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar with rate and remaining time; off a terminal, each new note becomes a line."""
        if not self.rich.is_terminal:
            yield self._notes
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.rich) as progress:
            task = progress.add_task(title, total=total, note="")

            def advance(amount: int, note: str = "") -> None:
                progress.advance(task, amount)
                if note:
                    progress.update(task, note=note)

            yield advance

    def _notes(self, amount: int, note: str = "") -> None:
        if note:
            print(note, file=sys.stderr, flush=True)


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
