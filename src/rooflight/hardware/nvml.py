"""Questions to NVIDIA's management library, each asked on its own: a refusal costs one answer and never another's."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# nvml.h, nvmlReturn_t
NOT_SUPPORTED, NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 3, 6, 9, 12, 13
# The device has no such thing: no news. ARGUMENT_VERSION_MISMATCH (25) is a driver older than the question.
ABSENT = (NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND, 25)


FAILURES = (Exception, SystemExit)  # what a broken driver or package may raise; Ctrl-C is the user's


def pynvml_or_none() -> Any:
    """The module pynvml, or None where it is not installed or does not import."""
    return import_pynvml()[0]


def import_pynvml() -> tuple[Any, str]:
    """(the module pynvml, "") or (None, why it does not import); not installed is no failure: (None, "")."""
    try:
        import pynvml
    except ModuleNotFoundError as error:
        return None, "" if error.name == "pynvml" else reason(error)
    except FAILURES as error:
        return None, reason(error)
    return pynvml, ""


class Questions:
    """Asks one thing after the other about one GPU (or the whole system) and remembers what was refused, and why."""

    def __init__(self, about: str) -> None:
        self.about = about
        self.unsupported: set[str] = set()
        self.refused: dict[str, list[str]] = {}  # the driver's words → what it would not tell

    def ask(self, what: str, call: Callable[[], T]) -> T | None:
        """The answer; None where the device has none. Every other failure, of whatever kind, is for the notes.

        call    asks, and checks what it is told (`whole`, `figure`, `text`, …): an odd answer is a refusal as well
        """
        try:
            return call()
        except AttributeError:  # a pynvml older than the question
            self.unsupported.add(what)
        except FAILURES as error:
            if getattr(error, "value", None) in ABSENT:
                self.unsupported.add(what)
            else:
                self.refused.setdefault(reason(error), []).append(what)
        return None

    def notes(self) -> tuple[str, ...]:
        """One line for each reason."""
        return tuple(
            f"{self.about}: the driver does not tell {_list(what)} ({why})." for why, what in self.refused.items()
        )


def reason(error: BaseException) -> str:
    """The failure in the driver's words."""
    if isinstance(error, SystemExit):
        return f"it tried to end the program: exit {error}"
    return str(error) or type(error).__name__


def text(answer: Any) -> str:
    """A name. Old releases of pynvml answer in bytes. Raises ValueError for anything else."""
    if isinstance(answer, bytes):
        return answer.decode(errors="replace")
    if not isinstance(answer, str):
        raise _odd(answer)
    return answer


def whole(answer: Any, *, least: int = 0, most: int | None = None) -> int:
    """A count. Raises ValueError for what is no whole number, or beyond the bounds."""
    if (
        isinstance(answer, bool)
        or not isinstance(answer, int)
        or answer < least
        or (most is not None and answer > most)
    ):
        raise _odd(answer)
    return answer


def figure(answer: Any, *, most: float = math.inf) -> float:
    """A quantity, which is never below zero. Raises ValueError for what is no finite number, or beyond the bounds."""
    number = isinstance(answer, int | float) and not isinstance(answer, bool) and math.isfinite(answer)
    if not number or not 0 <= answer <= most:
        raise _odd(answer)
    return float(answer)


def flag(answer: Any) -> bool:
    """A switch, which NVML tells as 0 or 1. Raises ValueError for anything else."""
    if not isinstance(answer, int) or answer not in (0, 1):
        raise _odd(answer)
    return bool(answer)


def part(answer: Any, name: str) -> Any:
    """A field of a structure. Raises ValueError if it lacks it: an AttributeError would be taken for an old pynvml."""
    try:
        return getattr(answer, name)
    except AttributeError:
        raise _odd(answer) from None


def _odd(answer: Any) -> ValueError:
    return ValueError(f"odd answer {str(answer)[:40]!r}")


def _list(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return " and ".join(filter(None, (", ".join(unique[:-1]), unique[-1])))
