"""Questions to NVIDIA's management library, each asked on its own: a refusal costs one answer and never another's."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# nvml.h, nvmlReturn_t
NOT_SUPPORTED, NOT_FOUND, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 3, 6, 9, 12, 13
# The device has no such thing: no news. ARGUMENT_VERSION_MISMATCH (25) is a driver older than the question.
ABSENT = (NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND, 25)


def pynvml_or_none() -> Any:
    """The module pynvml, or None where it is not installed or does not import."""
    try:
        import pynvml
    except Exception:
        return None
    return pynvml


class Questions:
    """Asks one thing after the other about one GPU (or the whole system) and remembers what was refused, and why."""

    def __init__(self, about: str) -> None:
        self.about = about
        self.unsupported: set[str] = set()
        self.refused: dict[str, list[str]] = {}  # the driver's words → what it would not tell

    def ask(self, what: str, call: Callable[[], T]) -> T | None:
        """The answer; None where the device has none. Every other failure, of whatever kind, is for the notes."""
        try:
            return call()
        except AttributeError:  # a pynvml older than the question
            self.unsupported.add(what)
        except Exception as error:
            if getattr(error, "value", None) in ABSENT:
                self.unsupported.add(what)
            else:
                self.refused.setdefault(str(error) or type(error).__name__, []).append(what)
        return None

    def notes(self) -> tuple[str, ...]:
        """One line for each reason."""
        return tuple(
            f"{self.about}: the driver does not tell {_list(what)} ({why})." for why, what in self.refused.items()
        )


def text(answer: str | bytes | None) -> str | None:
    """Old releases of pynvml answer in bytes."""
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


def _list(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return " and ".join(filter(None, (", ".join(unique[:-1]), unique[-1])))
