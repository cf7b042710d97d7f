"""The words of a command line, as a command and its settings. Importing this takes the parser and every command."""

from collections.abc import Callable, Sequence
from inspect import BoundArguments
from typing import Any

from cyclopts import App, CycloptsError

from rooflight import __version__
from rooflight.cli.bench import BENCH
from rooflight.cli.commands import COMMANDS
from rooflight.core.errors import ConfigError

HELP = "From a GPU's spec sheet to a deployed model, at the hardware's limit."


def parse(arguments: list[str]) -> tuple[Callable[..., Any], BoundArguments]:
    """The command that the words name, and what it is called with; raises ConfigError for words that name none."""
    # A lone hyphen is stdin, where a model's name is expected; the parser would take it for an option.
    words = ["--model=-" if word == "-" else word for word in arguments]
    try:
        command, bound, _ = _app().parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise ConfigError(" ".join(str(error).split()) + _help_hint(words)) from error
    return command, bound


def _app() -> App:
    app = App(name="rooflight", help=HELP, version=__version__, help_format="plaintext")
    for command in COMMANDS:
        app.command(command)
    bench = App(name="bench", help="What can this machine do? Measured, beside what its data sheet says.")
    for command in BENCH:
        bench.command(command)
    app.command(bench)
    return app


def _help_hint(arguments: Sequence[str]) -> str:
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["bench"]:
        known = words[1:2] if words[1:2] and words[1] in {each.__name__ for each in BENCH} else []
        return f" Try rooflight {' '.join(['bench', *known])} --help."
    known = words[:1] if words and words[0] in {each.__name__ for each in COMMANDS} else []
    return f" Try rooflight {' '.join([*known, '--help'])}."
