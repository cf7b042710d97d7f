"""What is written comes back to the bit, and an end at any moment leaves a whole checkpoint."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from rooflight.core.errors import DataError
from rooflight.train.checkpoint import write
from rooflight.train.checkpoint.folder import MODEL, TRAINING, list_folders, read_latest
from rooflight.train.checkpoint.read import load_weights, read_checkpoint, read_state
from rooflight.train.checkpoint.tensors import DTYPES, to_host, write_tensors
from rooflight.train.checkpoint.write import take_snapshot, write_checkpoint
from rooflight.train.layout import prepare
from tests.train.stored import document, saved, tensors

ODD: dict[str, Callable[[], Tensor]] = {
    "no element": lambda: torch.empty(0, 3),
    "one number": lambda: torch.tensor(7, dtype=torch.int64),
    "turned": lambda: torch.arange(12.0).reshape(3, 4).t(),
    "every other": lambda: torch.arange(12, dtype=torch.int32)[::2],
    "channels last": lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "not a number": lambda: torch.tensor([float("nan"), -0.0, float("inf")]),
    "parameter": lambda: nn.Parameter(torch.randn(3)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    drawn = torch.randint(0, 2, (8 * 3,), dtype=torch.uint8)
    tensor = drawn.bool() if dtype == torch.bool else (drawn * 37).view(dtype)
    entry = write_tensors({"x": tensor, "y": torch.ones(3, dtype=torch.uint8)}, tmp_path / "file")
    found = safetensors.torch.load((tmp_path / "file").read_bytes())
    assert found["x"].dtype == dtype
    assert torch.equal(found["x"].view(torch.uint8), tensor.view(torch.uint8))
    assert entry.bytes == (tmp_path / "file").stat().st_size


@pytest.mark.parametrize("name", ODD)
def test_odd_tensors_come_back_to_the_bit(tmp_path: Path, name: str) -> None:
    tensor = ODD[name]()
    write_tensors(to_host({"x": tensor}), tmp_path / "file")
    found = safetensors.torch.load_file(tmp_path / "file")["x"]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found.view(-1).view(torch.uint8), tensor.detach().contiguous().view(-1).view(torch.uint8))


def test_a_run_without_a_tensor_is_saved(tmp_path: Path) -> None:
    write_checkpoint(take_snapshot(document(1), weights={}, tensors={}), tmp_path, keep=1)
    assert read_checkpoint(tmp_path)[1] == {}


def test_a_model_comes_back_whatever_its_layout(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    model, _ = prepare(network, torch.device("cpu"), torch.float32)
    write_checkpoint(take_snapshot(document(1), weights=model.state_dict(), tensors={}), tmp_path, keep=1)
    _, state = read_checkpoint(tmp_path)
    fresh = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8))
    load_weights(fresh, state, source=tmp_path)
    for ours, theirs in zip(model.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(DataError, match="do not fit the model"):
        load_weights(nn.Linear(2, 2), state, source=tmp_path)


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.head = nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    model, fresh = Tied(), Tied()
    write_checkpoint(take_snapshot(document(1), weights=model.state_dict(), tensors={}), tmp_path, keep=1)
    load_weights(fresh, read_checkpoint(tmp_path)[1], source=tmp_path)
    assert fresh.head.weight is fresh.embedding.weight
    assert torch.equal(fresh.head.weight, model.head.weight)


def test_what_weights_and_run_share_is_stored_once(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 3)
    stored = safetensors.torch.load_file(folder / TRAINING)
    assert set(stored) == {"optimizer.0.step"}
    found = read_state(tmp_path)
    assert found is not None
    _, everything = tensors(3)
    assert {name: value.tolist() for name, value in found.tensors.items()} == {
        name: value.tolist() for name, value in everything.items()
    }


def test_a_snapshot_is_not_changed_by_later_steps() -> None:
    weights, everything = tensors(1)
    taken = take_snapshot(document(1), weights=weights, tensors=everything)
    weights["one"].zero_()
    assert taken.weights["one"].tolist() == [1.0] * 500
    assert taken.training["model.one"] is taken.weights["one"]


def test_the_newest_are_kept_and_latest_names_the_newest(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3, 4, keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["latest", "step-00000003", "step-00000004"]
    assert read_latest(tmp_path) == tmp_path / "checkpoints/step-00000004"


def test_unfinished_ones_do_not_count_among_those_kept(tmp_path: Path) -> None:
    folders = saved(tmp_path, 1, 2, 3)
    (folders[1] / MODEL).unlink()
    saved(tmp_path, 4, keep=2)
    assert [path.name[-1] for path in list_folders(tmp_path)] == ["4", "3"]


def test_a_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 1)
    (folder / MODEL).write_bytes(b"damaged")
    saved(tmp_path, 1)
    assert read_checkpoint(tmp_path)[0].step == 1


LIMITED = """
import resource, signal, sys
from pathlib import Path
from rooflight.train.checkpoint.write import write_checkpoint
from tests.train.stored import snapshot
taken = snapshot(2, 100_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_checkpoint(taken, Path(sys.argv[1]), keep=2)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.parametrize("most", [0, 1, 100, 4096, 300_000])
def test_a_file_that_the_system_cuts_short_leaves_the_one_before(tmp_path: Path, most: int) -> None:
    """RLIMIT_FSIZE: a real write that takes less than it is given, and then none."""
    saved(tmp_path, 1)
    command = [sys.executable, "-c", LIMITED, str(tmp_path), str(most)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == os.strerror(errno.EFBIG)
    assert read_checkpoint(tmp_path)[0].step == 1
    assert [path.name for path in (tmp_path / "checkpoints").glob(".*")] == []


@pytest.mark.parametrize("number", range(7))
def test_a_disk_that_is_found_full_at_any_flush_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file system that allocates late says so at fsync."""
    saved(tmp_path, 1)
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved(tmp_path, 2)
    monkeypatch.undo()
    assert read_latest(tmp_path) == tmp_path / "checkpoints/step-00000001"
    assert read_checkpoint(tmp_path)[0].step == 1
    saved(tmp_path, 2)  # there is space again
    assert read_checkpoint(tmp_path)[0].step == 2


def test_a_disk_that_reads_back_other_bits_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)
    flush = write._flush

    def rot(path: Path) -> None:
        flush(path)
        if path.name == "checkpoints":
            file = path / "step-00000002" / MODEL
            content = bytearray(file.read_bytes())
            content[-1] ^= 1
            file.write_bytes(content)

    monkeypatch.setattr(write, "_flush", rot)
    with pytest.raises(DataError, match="the disk is failing"):
        saved(tmp_path, 2)
    assert read_checkpoint(tmp_path)[0].step == 1


SAVES_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from rooflight.train.checkpoint.write import write_checkpoint
from tests.train.stored import snapshot
for step in count(int(sys.argv[2])):
    write_checkpoint(snapshot(step, 20_000), Path(sys.argv[1]), keep=2)
    print(step, flush=True)
"""


def test_a_kill_at_any_moment_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """SIGKILL, again and again, at random moments of a process that does nothing but save."""
    generator, step = random.Random(0), 1
    for _ in range(12):
        command = [sys.executable, "-c", SAVES_FOR_EVER, str(tmp_path), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline())]
            time.sleep(generator.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            told += [int(line) for line in process.stdout]
        skipped: list[str] = []
        checkpoint, weights = read_checkpoint(tmp_path, notify=skipped.append)
        assert skipped == []
        assert checkpoint.step >= told[-1]  # what was said to be saved is there
        assert weights["one"].tolist() == [float(checkpoint.step)] * 20_000
        step = checkpoint.step + 1
