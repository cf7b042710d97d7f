"""Operators in variants: which exist where, how they are fed, and their place under the roof."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from rooflight.bench import variants
from rooflight.bench.operators import Operator, operators, pick_operators
from rooflight.bench.variants import Roof, contestant, measure_operators, place
from rooflight.core.errors import ConfigError
from rooflight.core.roofs import OperatorRate
from rooflight.core.types import GpuSpec

CPU = torch.device("cpu")
SPEC = GpuSpec(
    name="round figures",
    memory_bytes=1 << 30,
    bytes_per_second=1e9,
    flops_per_second={"float32": 1e10, "bfloat16": 2e10},
    launch_seconds=1e-5,
    source="made up",
)
ROOF = Roof(spec=SPEC, cache_bytes=10_000, cache_bytes_per_second=1e10)


@pytest.mark.parametrize("operator", operators(1), ids=lambda each: each.size)
def test_every_operator_runs_in_every_dtype(operator: Operator) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        module, x = operator.build(dtype, CPU), operator.make_input(dtype, CPU)
        with torch.no_grad():
            y = module(x)
        assert y.dtype == dtype
        assert torch.isfinite(y).all()
        assert torch.count_nonzero(y) > y.numel() // 4


def test_variants_of_a_cpu() -> None:
    found = {each.name: each for each in variants.variants(CPU, ("float32", "bfloat16"))}
    assert list(found) == [
        "float32",
        "channels last",
        "bfloat16",
        "bfloat16, channels last",
        "oneDNN off",
        "1 thread",
    ]
    assert found["channels last"].only == ("convolution", "batch norm")
    assert "bfloat16" not in {each.dtype for each in variants.variants(CPU, ("float32",))}


def test_variants_of_a_gpu_hold_tensor_cores_libraries_layouts_and_the_cpu() -> None:
    cuda = torch.device("cuda", 0)
    found = {each.name: each for each in variants.variants(cuda, ("float32", "tfloat32", "bfloat16", "float16"))}
    assert next(iter(found)) == "float32"
    assert {"TF32 Tensor Cores", "float16", "channels last", "float16, channels last", "cuDNN off"} <= set(found)
    (cpu,) = [each for each in found.values() if each.device.type == "cpu"]
    assert cpu.name.startswith("CPU, ")
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    for name, inside in (("float32", "ieee"), ("TF32 Tensor Cores", "tf32"), ("cuDNN off", "ieee")):
        with found[name].setting():
            assert matmul.fp32_precision == inside
    assert matmul.fp32_precision == before
    # Turing has no TF32 and no bfloat16.
    assert not {"TF32 Tensor Cores", "bfloat16"} & {
        each.name for each in variants.variants(cuda, ("float32", "float16"))
    }


def test_channels_last_is_the_layout_of_input_and_output() -> None:
    operator = next(each for each in operators(1) if each.operator == "convolution")
    last = variants.Variant(name="channels last", device=CPU, channels_last=True)
    y = contestant(operator, last).run()
    assert isinstance(y, torch.Tensor)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("flops", "moved", "bound", "share"),
    [
        (10**9, 10**6, "compute", 0.1),  # 0.1 s of arithmetic, 1 ms of bytes, in a second
        (10**6, 10**9, "memory", 1.0),
        (10**3, 10**4, "launch", 1e-5),  # 0.1 µs and, from the cache, 1 µs
        (10**6, 10**4, "compute", 1e-4),
        (0, 10**8, "memory", 0.1),  # a copy
    ],
)
def test_place_under_the_roof(flops: int, moved: int, bound: str, share: float) -> None:
    found = place(flops, moved, "float32", 1.0, ROOF)
    assert found == (bound, pytest.approx(share))


def test_what_fits_into_the_cache_is_held_against_it() -> None:
    no_launch = Roof(spec=replace(SPEC, launch_seconds=None), cache_bytes=10_000)
    assert place(0, 10_000, "float32", 1e-5, no_launch)[0] == "memory"  # its bandwidth is not known
    known = Roof(spec=no_launch.spec, cache_bytes=10_000, cache_bytes_per_second=1e10)
    assert place(0, 10_000, "float32", 1e-5, known) == ("cache", pytest.approx(0.1))
    assert place(0, 10_001, "float32", 1e-4, known) == ("memory", pytest.approx(0.10001))


def test_a_dtype_without_a_rate_has_no_place() -> None:
    assert place(10, 10, "float16", 1.0, ROOF) == (None, None)


def test_rows_hold_work_rates_and_speedups(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"float32": [2.0, 4.0, 6.0], "bfloat16": [1.0, 1.0, 3.0]}
    monkeypatch.setattr(variants, "take_turns", lambda contestants: {name: times[name] for name in contestants})
    seen: list[OperatorRate] = []
    every = [each for each in variants.variants(CPU, ("float32", "bfloat16")) if each.name in times]
    rows, notes = measure_operators(
        pick_operators(CPU, ("softmax",)),
        every,
        names={"cpu": "a CPU"},
        roof=ROOF,
        work=lambda operator, dtype: (10**9, 10**6 * dtype.itemsize),
        observe=seen.append,
    )
    assert (list(rows), notes) == (seen, ())
    float32, bfloat16 = rows[:2]
    assert (float32.operator, float32.variant, float32.device, float32.dtype) == (
        "softmax",
        "float32",
        "a CPU",
        "float32",
    )
    assert (float32.measured.median, float32.speedup, float32.flops_per_second) == (4.0, 1.0, 2.5e8)
    assert (bfloat16.speedup, bfloat16.bytes, bfloat16.bytes_per_second) == (2.0, 2 * 10**6, 2e6)
    # A softmax does not run on the matrix engine: float32's rate, 0.1 s at best, holds in bfloat16 too.
    assert (bfloat16.bound_by, bfloat16.share) == ("compute", pytest.approx(0.1 / 1.0))


def test_a_variant_that_does_not_run_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "take_turns", lambda contestants: {name: [1.0] * 3 for name in contestants})

    @contextmanager
    def broken() -> Iterator[None]:
        raise RuntimeError("no kernel for this.\nMore words.")
        yield

    every = (variants.Variant(name="float32", device=CPU), variants.Variant(name="odd", device=CPU, setting=broken))
    operators = pick_operators(CPU, ("layer norm",))
    rows, notes = measure_operators(operators, every, names={"cpu": "a CPU"}, roof=ROOF, work=lambda *_: (1, 1))
    assert [row.variant for row in rows] == ["float32"]
    assert notes == ("layer norm, BERT-base: 1024×768, odd: skipped, no kernel for this",)
    rows, notes = measure_operators(operators, every[::-1], names={"cpu": "a CPU"}, roof=ROOF, work=lambda *_: (1, 1))
    assert (rows, len(notes)) == ((), 1)  # without the reference there is nothing to compare with


def test_an_unknown_operator_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'convolutoin'.* Did you mean 'convolution'"):
        pick_operators(CPU, ("convolutoin",))


@pytest.mark.gpu
def test_tensor_cores_on_are_faster_than_off_and_all_switches_are_put_back() -> None:
    from rooflight.bench.rates import native_dtypes

    cuda = torch.device("cuda", torch.cuda.current_device())
    before = (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.enabled, torch.get_num_threads())
    dtypes, _ = native_dtypes(cuda)
    rows, notes = measure_operators(
        pick_operators(cuda),
        variants.variants(cuda, dtypes),
        names={"cuda": "GPU", "cpu": "CPU"},
        roof=ROOF,
        work=lambda operator, dtype: (10**9, 10**6),
    )
    assert notes == ()
    after = (torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.enabled, torch.get_num_threads())
    assert after == before
    speedups = {(row.size, row.variant): row.speedup for row in rows if row.operator == "matmul"}
    for (_, variant), faster in speedups.items():
        if variant in ("TF32 Tensor Cores", "float16", "bfloat16"):
            assert faster > 1.2
        if variant.startswith("CPU"):
            assert faster < 1
