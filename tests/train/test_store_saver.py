"""Saving off the critical path: one at a time, the newest wins, and a failure is told."""

import errno
import os
import threading
from pathlib import Path

import pytest

from rooflight.core.errors import ResourceError
from rooflight.train.checkpoint import saver as module
from rooflight.train.checkpoint.read import read_checkpoint
from rooflight.train.checkpoint.saver import Saver
from rooflight.train.checkpoint.write import Snapshot, write_checkpoint
from tests.train.stored import saved, snapshot


class Disk:
    """Writes when it is told to, and fails for the steps of `full`."""

    def __init__(self, full: tuple[int, ...] = ()) -> None:
        self.steps: list[int] = []
        self.started, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.full = full

    def __call__(self, taken: Snapshot, run: Path, *, keep: int) -> Path:
        self.started.release()
        self.go.acquire()
        step = taken.document.step
        self.steps.append(step)
        if step in self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_checkpoint(taken, run, keep=keep)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(module, "write_checkpoint", made)
    return made


def test_the_newest_of_those_that_wait_is_written(tmp_path: Path, disk: Disk) -> None:
    saver = Saver(tmp_path, keep=2, notify=print)
    saver.save(snapshot(1))
    disk.started.acquire()  # the first is being written
    for step in (2, 3, 4):
        saver.save(snapshot(step))
    disk.go.release(2)
    saver.close()
    assert disk.steps == [1, 4]
    assert read_checkpoint(tmp_path)[0].step == 4


def test_a_full_disk_is_told_and_training_goes_on(tmp_path: Path, disk: Disk) -> None:
    told: list[str] = []
    disk.full = (2,)
    saver = Saver(tmp_path, keep=2, notify=told.append)
    for step in (1, 2, 3):
        saver.save(snapshot(step))
        disk.started.acquire()
        disk.go.release()
        while len(disk.steps) < step or saver._busy:
            pass
    saver.close()
    assert len(told) == 1
    assert "step 2 could not be saved: No space left on device; step-00000001 stays. Training goes on" in told[0]
    assert read_checkpoint(tmp_path)[0].step == 3


def test_a_full_disk_at_the_last_save_of_all_is_an_error(tmp_path: Path, disk: Disk) -> None:
    saved(tmp_path, 1)
    disk.full, told = (2,), list[str]()
    saver = Saver(tmp_path, keep=2, notify=told.append)
    saver.save(snapshot(2))
    disk.go.release()
    with pytest.raises(ResourceError, match=r"step 2 could not be saved: No space left.*Free some space"):
        saver.close()
    assert read_checkpoint(tmp_path)[0].step == 1


def test_what_an_earlier_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 1)
    partial = folder.with_name(".step-00000002.partial")
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")
    Saver(tmp_path, keep=2, notify=print).close()
    assert not partial.exists()
    assert folder.is_dir()
