"""`rooflight train` on several processes: one killed, and one on a host that is cut off."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = ["train", "cnn", "--device", "cpu", "--dtype", "float32", "--batch", "24", "--ema", "0.9", "--out"]
LONGEST = 300.0  # seconds, on a machine that does other things
PEER_TIMEOUT = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """253 pictures of four classes: eleven steps an epoch, the last of 13 samples."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 253)
    images = draw.integers(0, 60, (253, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[7 * label : 7 * label + 7] += 150
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:61], y_test=labels[:61])
    return path


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"} | more


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def last_tensors(run: Path) -> dict[str, torch.Tensor]:
    newest = max(run.glob("checkpoints/step-*"))
    files = (newest / "model.safetensors", newest / "training.safetensors")
    return {f"{file.stem}.{name}": value for file in files for name, value in load_file(file).items()}


def figures(run: Path) -> tuple[Any, ...]:
    result = json.loads((run / "result.json").read_text())
    return result["evaluation"], [(epoch["step"], epoch["train_loss"]) for epoch in result["epochs"]]


def test_a_rank_that_is_killed_costs_the_run_nothing(data: Path, tmp_path: Path) -> None:
    more = ["--data", str(data), "--epochs", "12", "--checkpoint-every", "5"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = subprocess.run(
        [*TORCHRUN, "-m", "rooflight", *TRAIN, str(whole), *more, "--json"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 12 * 11  # one document: the other rank printed nothing
    with subprocess.Popen(
        [*TORCHRUN, "--max-restarts", "2", "-m", "rooflight", *TRAIN, str(killed), *more],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(killed / "checkpoints/latest", process)
        os.kill(children(process.pid)[1], signal.SIGKILL)
        _, told = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, told
    assert "goes on from step" in told
    one, other = last_tensors(whole), last_tensors(killed)
    assert set(one) == set(other)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert figures(whole) == figures(killed)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a cable between them."""
    names = (f"rooflight-a-{os.getpid()}", f"rooflight-b-{os.getpid()}")
    commands = [
        *(f"netns add {name}" for name in names),
        f"link add cable netns {names[0]} type veth peer name cable netns {names[1]}",
        *(f"-n {name} addr add 10.77.0.{number}/24 dev cable" for number, name in enumerate(names, 1)),
        *(f"-n {name} link set {device} up" for name in names for device in ("lo", "cable")),
    ]
    if not shutil.which("ip"):
        pytest.skip("needs iproute2")
    try:
        for command in commands:
            if subprocess.run(["ip", *command.split()], capture_output=True, check=False).returncode:
                pytest.skip("this user makes no network namespaces")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def test_a_host_that_is_cut_off_is_named_and_leaves_the_checkpoint_whole(
    data: Path, tmp_path: Path, hosts: tuple[str, str]
) -> None:
    run = tmp_path / "run"
    train = [*TRAIN, str(run), "--data", str(data), "--epochs", "100000", "--checkpoint-every", "5"]
    train += ["--peer-timeout", str(PEER_TIMEOUT)]
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", host, sys.executable, "-m", "rooflight", *train],
            env=environment(
                RANK=str(rank),
                LOCAL_RANK="0",
                WORLD_SIZE="2",
                MASTER_ADDR="10.77.0.1",
                MASTER_PORT="29511",
                GLOO_SOCKET_IFNAME="cable",
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, host in enumerate(hosts)
    ]
    try:
        wait_for(run / "checkpoints/latest", processes[0])
        subprocess.run(["ip", "-n", hosts[1], "link", "set", "cable", "down"], check=True)
        cut = time.monotonic()
        told = [process.communicate(timeout=LONGEST)[1] for process in processes]
        seconds = time.monotonic() - cut
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [2, 2], told
    assert "rank 1 on " in told[0]
    assert "is gone: stopped, killed or cut off" in told[0]
    assert "the host of rank 0" in told[1]
    assert all(words.count("rooflight: ") == 1 and "Traceback" not in words for words in told)
    assert seconds < PEER_TIMEOUT + 60  # the signs that they wait for, and a machine that does other things
    done = subprocess.run(
        [sys.executable, "-m", "rooflight", "predict", str(run), str(picture(tmp_path)), "--json"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "picture.png"
    Image.fromarray(np.full((28, 28), 128, np.uint8)).save(path)
    return path
