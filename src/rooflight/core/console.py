"""How a flow talks while it works: to stderr from the command line, not at all from Python unless asked."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Advance(Protocol):
    """Called as work gets done."""

    def __call__(self, amount: int, note: str = "", live: Sequence[str] = ()) -> None:
        """`amount` more units are done.

        note  what has come out; replaces the text beside the bar if it is not empty
        live  how it goes just now, the most important first: as much of it is shown as there is room for
        """


class Console(Protocol):
    """What a flow may say and show."""

    live_seconds: float  # between two `live` texts that are worth making

    def say(self, line: str) -> None:
        """One line of progress."""

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A progress bar over `total` units."""


class Silent:
    """Says nothing."""

    live_seconds = math.inf

    def say(self, line: str) -> None:
        """Nothing."""

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A bar that shows nothing."""
        return nullcontext(_ignore)


def _ignore(amount: int, note: str = "", live: Sequence[str] = ()) -> None:
    return None
