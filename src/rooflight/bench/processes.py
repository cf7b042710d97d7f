"""A worker in a process of its own, with a time limit; nothing that it started outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rooflight.core.units import show_seconds

# torchrun gives its ranks 30 seconds to end before it kills them.
GRACE_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended, and what it said."""

    code: int | None  # None: its time was up
    seconds: float  # the limit
    stdout: str
    stderr: str

    @property
    def answer(self) -> str | None:
        """The last line of stdout, if the process ended well and said anything."""
        lines = self.stdout.strip().splitlines()
        return lines[-1] if lines and self.code == 0 else None

    @property
    def reason(self) -> str:
        """Why there is no answer: what happened, and the process's last words."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        words = f": {lines[-1]}" if lines else ""
        if self.code is None:
            return f"not done after {show_seconds(self.seconds)}"
        if self.code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-self.code).name}{words}"
        if self.code == 0:
            return "ended without an answer"
        return f"exit code {self.code}{words}"


def run_process(
    command: Sequence[str], *, environment: Mapping[str, str], seconds: float, grace_seconds: float = GRACE_SECONDS
) -> Ended:
    """Run a command to its end, or to the end of its time.

    It gets a session of its own, and if this call is interrupted or the time is up, first a SIGTERM, so that torchrun
    can end its ranks, then a SIGKILL to all that is left of the session.
    environment   the whole of it: nothing is inherited
    """
    with subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process, grace_seconds)
            stdout, stderr = process.communicate()
            return Ended(code=None, seconds=seconds, stdout=stdout, stderr=stderr)
        except BaseException:
            _end(process, grace_seconds)
            raise
    return Ended(code=process.returncode, seconds=seconds, stdout=stdout, stderr=stderr)


def run_module(module: str, argument: str, *, environment: Mapping[str, str], seconds: float) -> Ended:
    """`python -m MODULE ARGUMENT` by this interpreter."""
    return run_process([sys.executable, "-m", module, argument], environment=environment, seconds=seconds)


def _end(process: subprocess.Popen[str], grace_seconds: float) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
