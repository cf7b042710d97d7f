"""One process at a time in a folder. The kernel lets go of the lock when its holder ends, however it ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rooflight.core.errors import ConfigError

NAME = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of the folder while the body runs.

    The file says who holds it, and stays: removing it would let two processes hold locks on two files of one name.
    Windows has no flock, and no lock is taken there.

    raises  ConfigError, before anything is changed, if another process holds it; OSError if no file can be made there
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise ConfigError(
                f"{folder} is in use by {holder}. Wait until it has ended, or try another folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)
