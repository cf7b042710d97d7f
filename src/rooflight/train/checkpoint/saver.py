"""Saves on a thread of its own: the run pays for a copy of its tensors, not for the disk."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from rooflight.core.errors import DataError, ResourceError
from rooflight.train.checkpoint.write import Snapshot, remove_partial, write_checkpoint


class Saver:
    """One save at a time. A snapshot that comes while another is written waits, and replaces one that waits already.

    The newest state is the one worth having; a disk that is slower than --checkpoint-every then costs checkpoints, not
    steps, and no more than two snapshots are in memory.

    A save that fails does not stop the run: days of training are worth more than one checkpoint, the one before stays,
    and the next save tries again. It is told at once, in a sentence; if it was the last save of all, `close` raises.
    """

    def __init__(self, run: Path, *, keep: int, notify: Callable[[str], None]) -> None:
        """notify: called from the saving thread."""
        self.run, self.keep, self.notify = run, keep, notify
        self.written: Path | None = None  # the newest whole one of this process
        self._pool = ThreadPoolExecutor(1, "rooflight-saver")
        self._lock = Lock()
        self._waiting: Snapshot | None = None
        self._busy = False
        self._failed: str | None = None  # of the last save
        remove_partial(run)

    def save(self, snapshot: Snapshot) -> None:
        """Returns at once."""
        with self._lock:
            self._waiting = snapshot
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._drain)

    def close(self) -> None:
        """Wait for what is still to be written; raises ResourceError if the last save failed."""
        self._pool.shutdown()
        if self._failed:
            raise ResourceError(f"{self._failed} Free some space, or try another folder.")

    def _drain(self) -> None:
        while True:
            with self._lock:
                snapshot, self._waiting = self._waiting, None
                if snapshot is None:
                    self._busy = False
                    return
            self._failed = self._write(snapshot)
            if self._failed:
                self.notify(f"{self._failed} Training goes on, and the next save tries again.")

    def _write(self, snapshot: Snapshot) -> str | None:
        """What went wrong, in a sentence."""
        try:
            self.written = write_checkpoint(snapshot, self.run, keep=self.keep)
        except (OSError, DataError) as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error).rstrip(".")
            before = f"{self.written.name} stays" if self.written else "there is none before it"
            return f"the checkpoint of step {snapshot.document.step:,} could not be saved: {reason}; {before}."
        except Exception as error:  # a thread's own fault is told as well, not lost
            return f"the checkpoint of step {snapshot.document.step:,} could not be saved: {error!r}."
        return None
