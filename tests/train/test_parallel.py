"""Two and four processes with gloo train as one process does: the sums round otherwise, and nothing else differs."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel
from rooflight.train.parallel.form import pick_form
from rooflight.train.parallel.graph import cut, linear_pairs
from rooflight.train.parallel.launch import find_launch
from rooflight.train.ranks import Alone
from tests.train import parallel_cases
from tests.train.parallel_cases import BASE, CASES, Net, run_case, train

SAME = 1e-5  # float32, after some steps
SAME_FLOAT16 = 1e-3
FORMS = {"ddp": 2, "fsdp": 2, "tensor-2": 2, "pipeline-2": 2, "fsdp+tensor-2": 4, "ddp+pipeline-2": 4}


@pytest.fixture(scope="session")
def alone() -> dict[str, dict[str, Any]]:
    """Every case in one process, which on two was cut into two shares."""
    return {name: run_case(name, Alone()) for name in CASES}


def start_ranks(form: str, count: int, out: Path) -> list[subprocess.Popen[str]]:
    """The processes of a form, as torchrun would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.train.parallel_cases", form, str(out)]
    return [
        subprocess.Popen(
            command,
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


@pytest.mark.parametrize(("form", "count"), FORMS.items(), ids=list(FORMS))
def test_a_form_trains_as_one_process_does(
    form: str, count: int, tmp_path: Path, alone: dict[str, dict[str, Any]]
) -> None:
    out = tmp_path / "results.pt"
    ranks = start_ranks(form, count, out)
    told = [rank.communicate(timeout=300)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * count, "\n".join(told)
    results = torch.load(out, weights_only=False)
    for name in CASES:
        # Other micro-batches overflow at other steps.
        if name in results and not (name == "float16" and "pipeline" in form):
            same(results[name], alone[name], SAME_FLOAT16 if name == "float16" else SAME)
    # What a run on several ranks saved, one process goes on with; and the ranks went on to the same place.
    saved = results["micro"]
    longer = replace(BASE, epochs=3, micro_batch=7)
    same(results["resumed"], train(longer, Alone(), resume=(saved["tensors"], saved["document"])), SAME)
    for direction in ("forward", "backward"):
        if direction in results:
            assert len(results[direction]["halved"]) == 1
            same(results[direction], alone["plain"], SAME)


def same(one: dict[str, Any], other: dict[str, Any], tolerance: float) -> None:
    """Equal names, whole tensors, figures of each epoch and evaluation."""
    assert set(one["tensors"]) == set(other["tensors"])
    for name, value in one["tensors"].items():
        torch.testing.assert_close(value, other["tensors"][name], rtol=0, atol=tolerance, msg=lambda m, n=name: n + m)
    assert one["confusion"] == other["confusion"]
    assert torch.tensor(one["losses"]).sub(torch.tensor(other["losses"])).abs().max() < tolerance


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"tensor": 3}, "needs a multiple of 3 processes, this run has 4"),
        ({"tensor": 2, "asked": "ddp"}, "Try --parallel fsdp with --tensor"),
        ({"pipeline": 2, "asked": "fsdp"}, "Try ddp"),
        ({"tensor": 2, "pipeline": 2}, "one of the two"),
        ({"batch": 3}, "less than the 4 replicas"),
        ({"world_size": 1, "asked": "fsdp"}, "torchrun"),
    ],
)
def test_a_form_that_cannot_be_is_refused(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pick_form(**{"asked": "auto", "tensor": 1, "pipeline": 1, "world_size": 4, "batch": 64, **flags})


def test_the_form_follows_from_flags_and_processes() -> None:
    def form(asked: str, tensor: int, pipeline: int) -> Parallel:
        return pick_form(asked, tensor=tensor, pipeline=pipeline, world_size=8, batch=64)[0]

    assert form("auto", 1, 1) == Parallel(data=8)
    assert form("fsdp", 1, 1) == Parallel(data=8, sharding="parameters")
    assert form("auto", 4, 1) == Parallel(data=2, tensor=4, sharding="parameters")
    assert form("auto", 1, 2) == Parallel(data=4, pipeline=2)


def test_the_environment_is_torchruns() -> None:
    whole = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    launch = find_launch(whole)
    assert launch is not None
    assert (launch.rank, launch.world_size, launch.local_rank, launch.is_main) == (3, 4, 1, False)
    assert find_launch({}) is None
    assert find_launch(whole | {"WORLD_SIZE": "1"}) is None
    with pytest.raises(ConfigError, match="MASTER_ADDR is not set"):
        find_launch({key: value for key, value in whole.items() if key != "MASTER_ADDR"})


def test_pairs_of_linear_layers_are_found_and_dropout_between_keeps_them_whole() -> None:
    assert [(pair.first, pair.second) for pair in linear_pairs(Net())] == [
        ("first.0", "first.2"),
        ("second.0", "second.2"),
    ]
    net = Net()
    net.first[1] = torch.nn.Sequential(torch.nn.GELU(), torch.nn.Dropout(0.1))
    assert [pair.first for pair in linear_pairs(net)] == ["second.0"]


@pytest.mark.parametrize("count", [2, 3])
def test_stages_one_after_another_are_the_model(count: int) -> None:
    net, x = Net(), torch.randn(5, parallel_cases.FEATURES)
    stages = cut(net, x, count)
    passed = x
    for stage in stages:
        passed = stage(passed)
    assert torch.equal(passed, net(x))
    names = [name for stage in stages for name, _ in stage.named_parameters()]
    assert sorted(names) == sorted(name for name, _ in net.named_parameters())


def test_a_model_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match="can be cut into 1 stages with weights at most"):
        cut(torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.randn(1, 2), 2)

    class Asks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(ConfigError, match="cannot be read as a graph"):
        cut(Asks(), torch.randn(1, 2), 2)
