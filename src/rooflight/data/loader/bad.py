"""Broken samples: recorded once, skipped from then on, counted against a share of the set."""

import threading

from rooflight.core.errors import ConfigError, DataError
from rooflight.core.runs import BadSample

NAMED_IN_ERRORS = 3


class BadSamples:
    """What could not be read or decoded. Workers share it."""

    def __init__(self, count: int, max_share: float) -> None:
        """count: samples in the set; max_share: 0 to 1, of them that may be broken."""
        if not 0 <= max_share < 1:
            raise ConfigError(f"--max-bad {max_share:g}: it is a share, 0 up to but not including 1.")
        self.count, self.max_share = count, max_share
        self._found: dict[int, BadSample] = {}
        self._lock = threading.Lock()

    def __contains__(self, sample: int) -> bool:
        return sample in self._found

    def __len__(self) -> int:
        return len(self._found)

    def add(self, sample: int, name: str, error: Exception) -> None:
        """Record a sample. raises DataError once more than the share are broken."""
        with self._lock:
            reason = " ".join(str(error).split())
            self._found.setdefault(sample, BadSample(sample=sample, name=name, reason=reason))
            if len(self._found) > self.max_share * self.count:
                raise DataError(self._too_many())

    def list(self) -> tuple[BadSample, ...]:
        """All of them, by number."""
        with self._lock:
            return tuple(self._found[sample] for sample in sorted(self._found))

    def _too_many(self) -> str:
        first = [self._found[sample] for sample in sorted(self._found)[:NAMED_IN_ERRORS]]
        names = "; ".join(bad.reason.removesuffix(". Try replacing or removing it.") for bad in first)
        more = f" and {len(self._found) - len(first)} more" if len(self._found) > len(first) else ""
        return (
            f"{len(self._found)} of {self.count:,} samples are broken, above the share of {self.max_share:.1%} that "
            f"--max-bad allows: {names}{more}. Try removing them, or a higher --max-bad."
        )
