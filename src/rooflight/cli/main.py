"""The command `rooflight`: parse, call a flow, print its Report. Exit 0: done; 1: a clear no; 2: bad usage or input."""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from rooflight import __version__
from rooflight.cli.bench import BENCH
from rooflight.cli.commands import COMMANDS
from rooflight.core.codec import to_json
from rooflight.core.errors import RooflightError
from rooflight.core.tables import Report, printable, text

HELP = "From a GPU's spec sheet to a deployed model, at the hardware's limit."
INTERRUPTED = 130  # as shells count SIGINT


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit."""
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C: what was half-written is removed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Hangul shows its code
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit code."""
    # A lone hyphen is stdin, where a model's name is expected; the parser would take it for an option.
    arguments = ["--model=-" if word == "-" else word for word in arguments]
    try:
        app = _app()
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        answer = command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()) + _help_hint(arguments))
    except RooflightError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_file_sentence(error))
    except KeyboardInterrupt:
        return _fail("stopped.", INTERRUPTED)
    if not isinstance(answer, Report):
        return 0  # help and version have printed themselves
    return _print(answer, as_json=bool(bound.kwargs.get("json")))


def _app() -> App:
    app = App(name="rooflight", help=HELP, version=__version__, help_format="plaintext")
    for command in COMMANDS:
        app.command(command)
    bench = App(name="bench", help="What can this machine do? Measured, beside what its data sheet says.")
    for command in BENCH:
        bench.command(command)
    app.command(bench)
    return app


def _print(report: Report, *, as_json: bool) -> int:
    try:
        print(to_json(report.answer) if as_json else text(report), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again as it exits
        if not isinstance(error, BrokenPipeError):  # a reader that has seen enough is no fault
            return _fail(f"the answer could not be written to stdout: {error.strerror}.")
    return report.exit_code


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _fail(sentence: str, code: int = 2) -> int:
    with contextlib.suppress(OSError):  # nobody listens
        print(f"rooflight: {printable(sentence)}", file=sys.stderr)
    return code


def _help_hint(arguments: Sequence[str]) -> str:
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["bench"]:
        known = words[1:2] if words[1:2] and words[1] in {each.__name__ for each in BENCH} else []
        return f" Try rooflight {' '.join(['bench', *known])} --help."
    known = words[:1] if words and words[0] in {each.__name__ for each in COMMANDS} else []
    return f" Try rooflight {' '.join([*known, '--help'])}."


def _file_sentence(error: OSError) -> str:
    """What the operating system said, and what to try."""
    where = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Free some space, or try another --out." if full else "Try a path that can be read and written."
    return f"{where}{error.strerror or error}. {advice}"
