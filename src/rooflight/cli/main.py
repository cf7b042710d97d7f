"""The command `rooflight`: parse, call a flow, print its Report. Exit 0: done; 1: a clear no; 2: bad usage or input."""

import contextlib
import errno
import gc
import io
import os
import shutil
import signal
import sys
from collections.abc import Sequence

from rooflight.core.codec import to_json
from rooflight.core.errors import RooflightError
from rooflight.core.tables import WIDTH, Report, printable, text

LEAST_WIDTH = 40  # a narrower terminal wraps by itself
INTERRUPTED = 130  # as shells count SIGINT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: what was half-written is removed
    # A terminal that closes; nohup has it ignored, and Windows knows none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Hangul shows its code
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["plan"]:
        gc.disable()  # done in seconds; importing torch makes a million objects, and looking through them takes a while
    code = run(words)
    gc.freeze()  # the interpreter ends without a look through all that torch has left: half a second
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        from rooflight.cli.app import parse  # the parser and every command: long enough for a Ctrl-C

        command, bound = parse(arguments)
        answer = command(*bound.args, **bound.kwargs)
        if not isinstance(answer, Report):
            return 0  # help and version have printed themselves
        return _print(answer, as_json=bool(bound.kwargs.get("json")))
    except RooflightError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_file_sentence(error))
    except KeyboardInterrupt:
        return _fail("stopped.", INTERRUPTED)


def _print(report: Report, *, as_json: bool) -> int:
    try:
        print(to_json(report.answer) if as_json else text(report, width=_width()), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again as it exits
        if not isinstance(error, BrokenPipeError):  # a reader that has seen enough is no fault
            return _fail(f"the answer could not be written to stdout: {error.strerror}.")
    return report.exit_code


def _width() -> int:
    """Cells of the terminal's line."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(sentence: str, code: int = 2) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        print(f"rooflight: {printable(sentence)}", file=sys.stderr)
    return code


def _file_sentence(error: OSError) -> str:
    """What the operating system said, and what to try."""
    where = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Free some space, or try another folder." if full else "Try a path that can be read and written."
    return f"{where}{error.strerror or error}. {advice}"
