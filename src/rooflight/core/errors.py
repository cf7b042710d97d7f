"""One small tree of errors. Each message says what was asked, what was found and what to try."""

import difflib
from collections.abc import Iterable

LONGEST_SECONDS = 7 * 24 * 3600


class RooflightError(Exception):
    """Base of every error that a user can cause and mend; the command line prints it as one sentence, exit code 2."""


class ConfigError(RooflightError):
    """A setting, flag, file or path that cannot be used as given."""


class DataError(RooflightError):
    """Data that was found but cannot be used: corrupt, empty, mislabelled."""


class ShapeError(RooflightError):
    """Tensor shapes that do not fit together."""


class SpecError(RooflightError):
    """A device that is unknown, or a figure that its specification lacks."""


class ResourceError(RooflightError):
    """Memory or disk that does not suffice."""


class TraceError(RooflightError):
    """A model that cannot be traced."""


class BackendError(RooflightError):
    """An optional package or a runtime that is missing or failed."""


class PeerError(RooflightError):
    """Another process of the same run that is gone: killed, or cut off."""


def refuse_seconds(flag: str, seconds: float) -> None:
    """Raise ConfigError for a time that is no number, not above 0, or longer than the longest that can be meant."""
    if not 0 < seconds <= LONGEST_SECONDS:  # false for nan too
        raise ConfigError(f"{flag} {seconds:g}: it must be above 0 and at most {LONGEST_SECONDS:,} s, a week.")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: " Did you mean 'epochs'?", or the known words when none is near."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=2, cutoff=0.6)
    if close:
        return " Did you mean " + " or ".join(repr(name) for name in close) + "?"
    return " Known: " + ", ".join(names) + "."
