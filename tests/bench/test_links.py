"""Bandwidths by hand, collectives for real over gloo, and ranks that die or hang."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from rooflight.bench.links import BUS_FACTOR, Exchange, LinksTask, RanksAnswer, _agree_that_right, join, pattern
from rooflight.bench.ranks import failed_rank, run_ranks
from rooflight.core.codec import read_json, to_json
from rooflight.core.errors import BackendError


def test_bus_bandwidth_as_nccl_tests_count_it() -> None:
    """8 GPUs, a message of 1 GB in 10 ms: 100 GB/s of algorithm bandwidth."""
    bus = {name: 100 * factor(8) for name, factor in BUS_FACTOR.items()}
    assert bus == {"all-reduce": 175.0, "all-gather": 87.5, "reduce-scatter": 87.5, "send-receive": 100.0}
    assert BUS_FACTOR["all-reduce"](2) == 1.0


def test_sums_of_the_pattern_are_exact_in_float32_for_a_thousand_ranks() -> None:
    largest = sum(int(pattern(rank, 97, torch.device("cpu")).max()) for rank in range(512))
    assert largest < 2**24
    assert not torch.equal(pattern(0, 97, torch.device("cpu")), pattern(1, 97, torch.device("cpu")))


@pytest.mark.parametrize("ranks", [2, 3])
def test_every_collective_over_gloo(ranks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = LinksTask(backend="gloo", sizes=(8, 5000), limit_seconds=60.0, answer=str(tmp_path / "answer.json"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    run_ranks("rooflight.bench.links", to_json(task, indent=None), ranks=ranks, seconds=120)
    assert list(temporary.iterdir()) == []  # torchrun's logs go with it
    found = read_json(RanksAnswer, tmp_path / "answer.json")
    assert found.ranks == ranks
    absent = {each.what for each in found.not_run}
    assert {row.collective for row in found.rows} | absent == set(BUS_FACTOR)
    assert {"all-reduce", "all-gather", "send-receive"} <= {row.collective for row in found.rows}
    whole = 4 * ranks
    for row in found.rows:
        assert row.bytes in (-(-8 // whole) * whole, -(-5000 // whole) * whole)
        assert row.algorithm_bytes_per_second == pytest.approx(row.bytes / row.seconds.median)
        assert row.bus_bytes_per_second == pytest.approx(
            row.algorithm_bytes_per_second * BUS_FACTOR[row.collective](ranks)
        )
        assert row.seconds.n == 9


def test_a_wrong_sum_is_not_timed(tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        right = Exchange(run=lambda: None, result=torch.ones(4), expected=torch.ones(4))
        _agree_that_right("all-reduce", right, torch.device("cpu"))
        wrong = Exchange(run=lambda: None, result=torch.tensor([1.0, 2, 1, 3]), expected=torch.ones(4))
        with pytest.raises(BackendError, match="all-reduce of 16 bytes is wrong: 2 numbers"):
            _agree_that_right("all-reduce", wrong, torch.device("cpu"))
    finally:
        dist.destroy_process_group()


HEAD = "import os, signal, time\nimport torch.distributed as dist\n"
JOIN = "dist.init_process_group('gloo')\n"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the test's own, found by the ranks."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return "a_rank_program"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "if os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGKILL)\ndist.barrier()",
            r"rank 1 was killed by SIGKILL\. The other ranks were ended\.",
        ),
        (
            "if os.environ['RANK'] == '1': raise ValueError('no link')\ntime.sleep(60)",
            r"rank 1 ended with exit code 1: no link\. The other",
        ),
    ],
    ids=["killed", "fails"],
)
def test_a_rank_that_dies_is_one_sentence_and_nothing_is_left(
    body: str, sentence: str, program: str, tmp_path: Path
) -> None:
    (tmp_path / f"{program}.py").write_text(HEAD + JOIN + body)
    with pytest.raises(BackendError, match=sentence):
        run_ranks(program, str(tmp_path), ranks=2, seconds=100)
    assert_gone(tmp_path)


def test_ranks_that_hang_are_ended(program: str, tmp_path: Path) -> None:
    (tmp_path / f"{program}.py").write_text(HEAD + "time.sleep(300)")
    with pytest.raises(BackendError, match=r"the 2 ranks were not done after .* s, and were ended"):
        run_ranks(program, str(tmp_path), ranks=2, seconds=12)
    assert_gone(tmp_path)


def assert_gone(folder: Path) -> None:
    """No process is left whose command line names the folder: torchrun's and the ranks' do."""
    for _ in range(100):
        left = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder) in command_line(path)]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"still there: {left}")


def command_line(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:  # it has just ended
        return ""


def test_what_torchrun_does_not_name_is_left_to_the_last_words() -> None:
    assert failed_rank("Traceback\nOSError: no port\n") is None


def test_a_rank_that_nobody_joins_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=r"rank 1 could not join 2 ranks at 127\.0\.0\.1:1: "):
        join("gloo", 1.0)


@pytest.mark.multi_gpu
def test_every_collective_over_nccl(tmp_path: Path) -> None:
    task = LinksTask(backend="nccl", sizes=(512, 2**20), limit_seconds=60.0, answer=str(tmp_path / "answer.json"))
    run_ranks("rooflight.bench.links", to_json(task, indent=None), ranks=2, seconds=120)
    found = read_json(RanksAnswer, tmp_path / "answer.json")
    assert {row.collective for row in found.rows} == set(BUS_FACTOR)
    assert found.not_run == ()


def test_under_torchrun_only_rank_0_answers(tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, "-m", "rooflight", "bench", "links", "--backend", "gloo", "--sizes", "64", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"backend": "gloo"') == 1
