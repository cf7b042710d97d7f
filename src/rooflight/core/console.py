"""How a flow talks while it works: to stderr from the command line, not at all from Python unless asked."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Advance(Protocol):
    """Called as work gets done."""

    def __call__(self, amount: int, note: str = "") -> None:
        """`amount` more units are done; `note` replaces the text beside the bar if it is not empty."""


class Console(Protocol):
    """What a flow may say and show."""

    def say(self, line: str) -> None:
        """One line of progress."""

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A progress bar over `total` units."""


class Silent:
    """Says nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A bar that shows nothing."""
        return nullcontext(_ignore)


def _ignore(amount: int, note: str = "") -> None:
    return None
