"""Exporters talk: this keeps them off stdout and stderr while their errors still reach the caller."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back prints, warnings and log records of the body; an exception passes through untouched.

    All three are settings of the process, so this is for a command that exports, not for a thread of a server.
    """
    disabled = logging.root.manager.disable
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            logging.disable(logging.CRITICAL)
            yield
    finally:
        logging.disable(disabled)


def first_line(error: BaseException) -> str:
    """What a library's exception says, without the pages that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
