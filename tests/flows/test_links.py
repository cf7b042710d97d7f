"""Which ranks, which sizes, and the command."""

from pathlib import Path

import pytest

from rooflight.cli.main import run
from rooflight.core.benches import LinkBenchmark
from rooflight.core.codec import from_json, read_json, to_json
from rooflight.core.errors import ConfigError
from rooflight.core.tables import text
from rooflight.core.types import GpuSpec, Link
from rooflight.flows.links import link_between, links, parse_size, pick_ranks

SPEC = GpuSpec(
    name="two ways out",
    memory_bytes=1,
    bytes_per_second=1.0,
    flops_per_second={},
    source="made up",
    links=(
        Link(name="bridge", bytes_per_second=3e11, devices=2),
        Link(name="PCIe 5.0 x16", bytes_per_second=6.3e10, devices=None),
    ),
)


def test_sizes() -> None:
    assert [parse_size(word) for word in ("512", "8B", "16KiB", "16k", "1.5 MB", "2G")] == [
        512,
        8,
        16_384,
        16_384,
        1_572_864,
        2**31,
    ]
    for word in ("", "KiB", "1T", "-4", "0", "64G", "٣", "１KiB"):
        with pytest.raises(ConfigError, match="--sizes"):
            parse_size(word)


def test_ranks() -> None:
    assert pick_ranks("auto", None, 0)[:2] == pick_ranks("auto", None, 1)[:2] == ("gloo", 2)
    assert pick_ranks("auto", None, 8)[:2] == ("nccl", 8)
    assert pick_ranks("auto", 4, 8)[:2] == ("nccl", 4)
    assert pick_ranks("gloo", 3, 8)[:2] == ("gloo", 3)
    for backend, asked, gpus, sentence in (
        ("nccl", None, 1, "needs two GPUs, PyTorch sees 1"),
        ("auto", 1, 8, "--gpus 1"),
        ("nccl", 9, 8, "--gpus 9: PyTorch sees 8"),
        ("gloo", 65, 0, "--gpus 65: at most 64 processes"),
        ("mpi", None, 8, "--backend mpi"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            pick_ranks(backend, asked, gpus)


def test_the_link_that_reaches_all_of_them() -> None:
    two, four = link_between(SPEC, 2), link_between(SPEC, 4)
    assert two is not None
    assert four is not None
    assert (two.name, four.name, link_between(None, 2)) == ("bridge", "PCIe 5.0 x16", None)


def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    out = tmp_path / "links.json"
    report = links(sizes=["64", "1KiB"], backend="gloo", out=out)
    assert report is not None
    answer = report.answer
    assert isinstance(answer, LinkBenchmark)
    assert read_json(LinkBenchmark, out) == answer == from_json(LinkBenchmark, to_json(answer))
    assert (answer.ranks, answer.backend, answer.link) == (2, "gloo", None)
    assert answer.latency_seconds["all-reduce"] == min(
        row.seconds.median for row in answer.rows if row.collective == "all-reduce" and row.bytes == 64
    )
    assert max(map(len, text(report).split("\n\n")[0].splitlines())) <= 100


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE=x is no whole number"),
        ({"RANK": "-1"}, "RANK=-1 is no whole number"),
        ({"RANK": "2"}, "RANK=2 with WORLD_SIZE=2"),
    ],
)
def test_what_torchrun_cannot_have_set_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sentence: str
) -> None:
    torchrun = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**torchrun, **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=sentence):
        links()


@pytest.mark.parametrize("limit", ["inf", "nan", "1e300", "0"])
def test_a_limit_that_is_no_time_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "links", "--limit", limit]) == 2
    assert capsys.readouterr().err.startswith("rooflight: --limit ")


@pytest.mark.parametrize("arguments", [["--gpus", "1"], ["--sizes", "big"], ["--backend", "nccl", "--gpus", "99"]])
def test_wrong_input_is_one_sentence_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "links", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rooflight: --")
    assert said.count("\n") == 1
