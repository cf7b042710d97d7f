"""`bench roofs` and `bench ops` from the command to the answer; measurements are round figures."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rooflight.bench import roofs
from rooflight.bench.engines import Peaks, dense_peak
from rooflight.bench.operators import operators
from rooflight.cli.main import run
from rooflight.core.codec import from_json
from rooflight.core.errors import ConfigError
from rooflight.core.roofs import Bandwidth, EngineRate, Operators, Roofs
from rooflight.core.tables import text
from rooflight.core.types import Environment, Rate
from rooflight.flows import bench_ops as ops_flow
from rooflight.flows import bench_roofs as roofs_flow
from rooflight.flows.bench_ops import operator_work
from rooflight.flows.bench_roofs import bench_roofs
from rooflight.hardware.detect import detect
from tests.flows.conftest import measured

HERE = Environment(
    device="a CPU", system="a test", python="3", packages={}, threads=2, settings=(), commit=None, date="2026-01-01"
)


def answer(share: float = 0.8) -> Roofs:
    """100 GFLOP/s; sustained, 20 % slower at 50 W."""
    above = share > 1.02
    engine = EngineRate(
        engine="vector",
        dtype="float32",
        burst=measured("matmul float32 512×512×512", "FLOP/s", 1e11),
        sustained=measured(
            "matmul float32 512×512×512, sustained", "FLOP/s", 8e10, watts=50.0, clock_hz=3e9, throttled_by=("heat",)
        ),
        flops_per_joule=1.6e9,
        peak_flops_per_second=1e11 / share,
        share=share,
        above_peak=above,
    )
    copy = Bandwidth(
        level="memory", pattern="copy", set_bytes=1 << 27, burst=measured("copy, read + write", "B/s", 1e10)
    )
    return Roofs(
        device="a CPU",
        environment=HERE,
        peaks="2 cores at 3 GHz",
        meter="a meter",
        engines=(engine,),
        bandwidths=(copy,),
        transfers=(),
        launch=measured("issue one operator", "s", 1e-6),
        faults=("vector float32 reached 110% of its dense peak, which cannot be",) if above else (),
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the flow asks of the room, and what the room answers."""
    asked: dict[str, Any] = {"answer": answer()}

    def room(device: torch.device, **settings: Any) -> Roofs:
        asked.update(settings)
        found: Roofs = asked["answer"]
        return found

    monkeypatch.setattr(roofs, "measure_roofs", room)
    return asked


# ---------------------------------------------------------------- roofs


def test_roofs_for_people_fits_100_columns(found: dict[str, Any]) -> None:
    page = text(bench_roofs(device="cpu"))
    assert max(map(len, page.splitlines()[:12])) <= 100
    for words in (
        "100 GFLOP/s",
        "125 GFLOP/s",
        "80.0 %",
        "80.0 GFLOP/s",
        "50 W",
        "1.60 GFLOP/s per W",
        "3.00 GHz",
        "heat",
    ):
        assert words in page
    assert "a: vector float32  100 GFLOP/s, ridge at 10 FLOP/B, dense peak 125 GFLOP/s (dotted)" in page


def test_a_rate_above_its_peak_is_exit_code_1_and_marked(found: dict[str, Any]) -> None:
    assert bench_roofs(device="cpu").exit_code == 0
    found["answer"] = answer(share=1.1)
    report = bench_roofs(device="cpu")
    assert report.exit_code == 1
    assert "110.0 % !" in text(report)
    assert "! vector float32 reached 110%" in text(report)


def test_json_is_the_answer_alone_and_out_holds_the_same(
    found: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "roofs.json"
    command = [
        "bench",
        "roofs",
        "--device",
        "cpu",
        "--dtype",
        "float32",
        "--dtype",
        "int8",
        "--out",
        str(file),
        "--json",
    ]
    assert run(command) == 0
    assert from_json(Roofs, capsys.readouterr().out) == answer()
    assert from_json(Roofs, file.read_text()) == answer()
    assert found["dtypes"] == ("float32", "int8")


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(
    found: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        bench_roofs(device="cpu", out=tmp_path / "none" / "roofs.json")
    assert set(found) == {"answer"}


def test_no_time_at_all_is_refused(found: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="--seconds 0"):
        bench_roofs(device="cpu", seconds=0)


def test_the_peaks_of_a_cpu_are_its_own() -> None:
    machine = detect()
    cpu = replace(machine.cpu, peak_flops_per_second={"float32": 1e11, "float64": 5e10}, peak_note="2 cores at 3 GHz")
    peaks = roofs_flow.peaks_of(torch.device("cpu"), replace(machine, cpu=cpu))
    assert peaks.rates == (
        Rate(engine="vector", dtype="float32", accumulate="float32", flops_per_second=1e11),
        Rate(engine="vector", dtype="float64", accumulate="float32", flops_per_second=5e10),
    )
    assert (peaks.source, peaks.bytes_per_second) == ("2 cores at 3 GHz", None)
    unknown = replace(machine.cpu, peak_flops_per_second={}, peak_note="no clock")
    assert roofs_flow.peaks_of(torch.device("cpu"), replace(machine, cpu=unknown)).source is None


def test_the_peaks_of_a_gpu_are_the_catalogues(monkeypatch: pytest.MonkeyPatch) -> None:
    def peaks_of(name: str, gib: int, units: int) -> Peaks:
        found = SimpleNamespace(name=name, total_memory=gib << 30, multi_processor_count=units)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)
        return roofs_flow.peaks_of(torch.device("cuda"), detect())

    h100 = peaks_of("NVIDIA H100 80GB HBM3", 79, 132)
    tensor, vector = (
        dense_peak(h100.rates, "matrix", "bfloat16"),
        dense_peak(h100.rates, "vector", "float32"),
    )
    assert tensor is not None
    assert vector is not None
    assert tensor.flops_per_second == pytest.approx(989.4e12, rel=0.001)  # its data sheet
    assert vector.flops_per_second == pytest.approx(66.9e12, rel=0.001)
    assert h100.bytes_per_second == pytest.approx(3.35e12)
    assert (h100.source or "").startswith("H100 SXM5 80GB in the catalogue: ")
    assert peaks_of("A GPU of another world", 79, 132) == Peaks()


# ---------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ("operator", "start", "flops", "moved"),
    [
        # N·K·P·Q·C·R·S multiply-adds; input, weight and output
        ("convolution", "ResNet-50 stage 1", 2 * 8 * 64 * 56 * 56 * 64 * 9, 4 * (2 * 8 * 64 * 56 * 56 + 64 * 64 * 9)),
        # and the bias
        (
            "matmul",
            "BERT-base projection",
            2 * 1024 * 768 * 768,
            4 * (2 * 1024 * 768 + 768 * 768 + 768),
        ),
        ("element-wise", "residual sum", 8 * 256 * 56 * 56, 4 * 3 * 8 * 256 * 56 * 56),
        # the rows that are asked for, read and written, and their indices
        ("embedding", "BERT-base", 0, 2 * 4 * 8 * 128 * 768 + 8 * 8 * 128),
    ],
)
def test_work_is_counted_as_in_every_trace(operator: str, start: str, flops: int, moved: int) -> None:
    (each,) = [each for each in operators(8) if each.operator == operator and each.size.startswith(start)]
    assert operator_work(each, torch.float32) == (flops, moved)


@pytest.mark.parametrize("each", operators(8), ids=lambda each: each.size)
def test_every_operator_has_a_cost_in_every_dtype(each: Any) -> None:
    wide, narrow = (ops_flow.trace_operator(each, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert all(op.costed for op in (*wide.ops, *narrow.ops))
    assert wide.flops == narrow.flops
    assert wide.bytes > narrow.bytes > 0.4 * wide.bytes


def test_ops_answer(round_figures: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "ops", "--device", "cpu", "--operator", "softmax", "--calibration", "none"]
    assert run([*command, "--json"]) == 0
    found = from_json(Operators, capsys.readouterr().out)
    assert {row.operator for row in found.rows} == {"softmax"}
    assert {row.variant for row in found.rows} >= {"float32", "1 thread"}
    assert found.cache_bytes_per_second == 5e10
    assert run(command) == 0
    page = capsys.readouterr().out
    assert "softmax, BERT-base scores: 1×12×128×128" in page
    assert max(map(len, page.split("\n\nforward passes")[0].splitlines())) <= 100
