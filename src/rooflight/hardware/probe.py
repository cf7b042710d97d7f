"""Ask installed packages what they see of this machine, each in a process of its own.

TensorFlow and JAX take most of a GPU's memory when they first touch it, two of them in one process can break each
other, and any of them may crash or hang on a bad driver: here that is one line of the answer.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rooflight.core.codec import from_plain, to_plain
from rooflight.core.errors import ConfigError
from rooflight.core.types import Framework
from rooflight.hardware.probed import PROBES

UNREADABLE = "its answer could not be read"
PROGRAM = Path(__file__).with_name("probed.py")

# So that a probe leaves the GPU's memory to those who need it, and TensorFlow its log to itself.
ENVIRONMENT = {
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def probe(
    frameworks: Sequence[Framework], *, seconds: float = 30.0, say: Callable[[str], None] = lambda line: None
) -> tuple[Framework, ...]:
    """The same frameworks with what each that is installed says of itself, all asked at once.

    seconds  after which those that have not answered are killed, with all that they started
    say      told what is waited for
    """
    wanted = [each.name for each in frameworks if each.version and each.name in PROBES]
    if wanted:
        say(f"asking {', '.join(wanted)}: each is imported once, in a process of its own")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(_Probe(name, Path(folder))) for name in wanted}
        deadline = time.monotonic() + seconds
        answers = {name: process.answer(deadline, seconds) for name, process in running.items()}
    return tuple(_joined(each, answers[each.name]) if each.name in answers else each for each in frameworks)


def _joined(framework: Framework, answer: Mapping[str, Any]) -> Framework:
    """The answer over what the metadata said; what the package did not say stays as it was."""
    said = {key: value for key, value in answer.items() if value is not None}
    try:
        return from_plain(Framework, to_plain(framework) | said)
    except ConfigError:  # a package of another kind under that name
        return dataclasses.replace(framework, error=UNREADABLE)


class _Probe:
    """One process. Its output goes to files: a pipe would stay open in whatever the process leaves behind."""

    def __init__(self, name: str, folder: Path) -> None:
        self.output, self.complaints = folder / f"{name}.json", folder / f"{name}.txt"
        with self.output.open("wb") as output, self.complaints.open("wb") as complaints:
            # -P: neither the folder of the program nor the user's own hides a package.
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaints,
                env=os.environ | ENVIRONMENT,
                start_new_session=True,
            )

    def __enter__(self) -> "_Probe":
        return self

    def __exit__(self, *failure: object) -> None:
        if self.process.returncode is None:
            self._kill()

    def answer(self, deadline: float, seconds: float) -> Mapping[str, Any]:
        """What it printed; or {"error": why there is nothing}."""
        try:
            code = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = None
        self._kill()  # what it started may outlive it
        if code is None:
            return {"error": f"did not answer within {seconds:g} s and was stopped"}
        if code != 0:
            return {"error": f"{_ended(code)}: {self._last_complaint()}"}
        try:
            said = json.loads(self.output.read_bytes())
        except (ValueError, RecursionError):
            said = None
        return said if isinstance(said, dict) else {"error": UNREADABLE}

    def _kill(self) -> None:
        """The process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()

    def _last_complaint(self) -> str:
        lines = [line for line in self.complaints.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else "it said nothing"


def _ended(code: int) -> str:
    """How a process ended; negative codes are signals."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
