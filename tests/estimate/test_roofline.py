"""The roofline by hand, and the laws that it must obey."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.core.errors import SpecError, TraceError
from rooflight.core.types import GpuSpec, Op, Trace, Workload
from rooflight.estimate.roofline import estimate, op_seconds

# 100 FLOP/s and 10 byte/s: the ridge point is at 10 FLOPs per byte.
SPEC = GpuSpec(
    name="toy",
    memory_bytes=1000,
    bytes_per_second=10.0,
    flops_per_second={"float32": 100.0, "bfloat16": 200.0},
    source="made up for this test",
)
WORKLOAD = Workload(model="toy", task="infer", batch=6, input_shape=(1,), dtype="float32")


def op(flops: int, read: int, written: int = 0, *, kind: str = "matmul", dtype: str = "float32") -> Op:
    return Op(
        name=f"aten.{kind}",
        kind=kind,
        phase="forward",
        flops=flops,
        bytes_read=read,
        bytes_written=written,
        dtype=dtype,
    )


def trace_of(*ops: Op, peak_bytes: int = 500) -> Trace:
    return Trace(
        workload=WORKLOAD,
        parameters=0,
        parameter_bytes=0,
        flops=sum(o.flops for o in ops),
        bytes=sum(o.bytes_read + o.bytes_written for o in ops),
        peak_bytes=peak_bytes,
        ops=ops,
        lifetimes=(),
    )


def test_each_side_of_the_ridge() -> None:
    assert op_seconds(op(400, 10, 20), SPEC) == (4.0, "compute")  # 400 / 100 against 30 / 10
    assert op_seconds(op(100, 10, 20), SPEC) == (3.0, "memory")
    assert op_seconds(op(100, 10, 20), replace(SPEC, launch_seconds=5.0)) == (5.0, "launch")
    assert op_seconds(op(400, 10, dtype="bfloat16"), SPEC) == (2.0, "compute")
    assert op_seconds(op(300, 10, 20), SPEC) == (3.0, "compute")  # on the ridge


def test_a_kind_that_was_measured_apart_has_its_own_rate() -> None:
    spec = replace(SPEC, kind_flops_per_second={"convolution": {"float32": 50.0}})
    assert op_seconds(op(400, 10, kind="convolution"), spec) == (8.0, "compute")
    assert op_seconds(op(400, 10, kind="convolution", dtype="bfloat16"), spec) == (2.0, "compute")
    assert op_seconds(op(400, 10, kind="matmul"), spec) == (4.0, "compute")


THREE = (op(400, 10), op(0, 30, kind="copy"), op(0, 0, kind="elementwise"))  # 4 s of compute, 3 s of memory, nothing


def test_a_cpu_runs_one_operator_after_the_other() -> None:
    found = estimate(trace_of(*THREE), replace(SPEC, launch_seconds=0.5), asynchronous=False)
    assert found.step_seconds == 4.0 + 3.0 + 0.0 + 3 * 0.5
    assert found.samples_per_second == 6 / 8.5
    assert found.high == 6 / 4.0  # compute 4, memory 1 + 3, launch 1.5: the largest
    assert found.low == 6 / (4.0 + 4.0 + 1.5)
    assert found.bound_by == "compute"
    assert found.mfu == pytest.approx(400 / (8.5 * 100))


@pytest.mark.parametrize(("launch", "seconds", "bound"), [(0.5, 7.0, "compute"), (3.0, 9.0, "launch")])
def test_a_gpu_works_while_the_host_issues(launch: float, seconds: float, bound: str) -> None:
    found = estimate(trace_of(*THREE), replace(SPEC, launch_seconds=launch), asynchronous=True)
    assert (found.step_seconds, found.bound_by) == (seconds, bound)
    assert any("the step takes the longer" in line for line in found.assumptions)


def test_the_largest_share_names_the_bound() -> None:
    copies = [op(0, 15, kind="copy")] * 3  # 4.5 s of memory in three, against 4 s of compute in one
    assert estimate(trace_of(op(400, 0), *copies), SPEC).bound_by == "memory"


def test_mfu_counts_products_alone() -> None:
    found = estimate(trace_of(op(200, 0), op(200, 0, kind="elementwise")), SPEC)
    assert (found.step_seconds, found.mfu) == (4.0, 0.5)


def test_fits() -> None:
    assert estimate(trace_of(op(1, 1), peak_bytes=1000), SPEC).fits
    assert not estimate(trace_of(op(1, 1), peak_bytes=1001), SPEC).fits


def test_a_dtype_that_the_spec_lacks() -> None:
    with pytest.raises(SpecError, match=r"toy has no FLOP/s for float16, .* has: bfloat16, float32\. Try"):
        estimate(trace_of(op(1, 1, dtype="float16")), SPEC)
    assert estimate(trace_of(op(0, 10, kind="copy", dtype="int64")), SPEC).step_seconds == 1.0  # moving needs no FLOP/s


def test_no_work_is_an_error() -> None:
    for empty in (trace_of(), trace_of(op(0, 0))):
        with pytest.raises(TraceError, match="holds no work"):
            estimate(empty, SPEC)


def test_operators_without_a_rule_are_named_with_their_share() -> None:
    unknown = replace(op(0, 25, kind="other"), costed=False)
    lines = estimate(trace_of(op(1, 50), unknown, unknown), SPEC).assumptions
    assert any("50.0 % of the step's bytes" in line and "aten.other ×2" in line for line in lines)
    assert not any("without a cost rule" in line for line in estimate(trace_of(op(1, 50)), SPEC).assumptions)


def test_an_unknown_launch_time_is_said() -> None:
    assert any("not known" in line for line in estimate(trace_of(op(1, 1)), SPEC).assumptions)
    assert not any(
        "not known" in line for line in estimate(trace_of(op(1, 1)), replace(SPEC, launch_seconds=1e-6)).assumptions
    )


# ---------------------------------------------------------------- laws

SIZES = st.integers(0, 10**12)
OPS = st.lists(st.builds(op, SIZES, st.integers(1, 10**10), SIZES), min_size=1, max_size=12)
RATES = st.floats(1e6, 1e15)
SPECS = st.builds(
    lambda rate, bandwidth, launch: replace(
        SPEC, flops_per_second={"float32": rate}, bytes_per_second=bandwidth, launch_seconds=launch
    ),
    RATES,
    RATES,
    st.none() | st.floats(1e-7, 1e-3),
)
FASTER = st.floats(1.0, 100.0)


@given(OPS, SPECS, FASTER, st.booleans())
def test_more_bandwidth_is_never_slower(ops: list[Op], spec: GpuSpec, factor: float, asynchronous: bool) -> None:
    better = replace(spec, bytes_per_second=spec.bytes_per_second * factor)
    before, after = (estimate(trace_of(*ops), s, asynchronous=asynchronous) for s in (spec, better))
    assert after.step_seconds <= before.step_seconds
    assert after.low >= before.low
    assert after.high >= before.high


@given(OPS, SPECS, FASTER, st.booleans())
def test_more_flops_are_never_slower(ops: list[Op], spec: GpuSpec, factor: float, asynchronous: bool) -> None:
    better = replace(spec, flops_per_second={"float32": spec.flops_per_second["float32"] * factor})
    before, after = (estimate(trace_of(*ops), s, asynchronous=asynchronous) for s in (spec, better))
    assert after.step_seconds <= before.step_seconds


@given(OPS, SPECS, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_ops_changes_nothing(ops: list[Op], spec: GpuSpec, asynchronous: bool, random: object) -> None:
    shuffled = list(ops)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert estimate(trace_of(*ops), spec, asynchronous=asynchronous) == estimate(
        trace_of(*shuffled), spec, asynchronous=asynchronous
    )


@given(OPS, SPECS, st.booleans())
def test_the_range_holds_the_value_and_mfu_is_a_share(ops: list[Op], spec: GpuSpec, asynchronous: bool) -> None:
    found = estimate(trace_of(*ops), spec, asynchronous=asynchronous)
    assert 0 < found.low <= found.samples_per_second <= found.high
    assert found.mfu is not None
    assert 0 <= found.mfu <= 1 + 1e-9


@given(OPS, SPECS)
def test_a_gpu_is_never_slower_than_the_sum(ops: list[Op], spec: GpuSpec) -> None:
    overlapped, alone = (estimate(trace_of(*ops), spec, asynchronous=flag) for flag in (True, False))
    assert overlapped.step_seconds <= alone.step_seconds
