"""Seconds from timed operators: by hand where one was timed, by law elsewhere."""

from dataclasses import replace
from math import log

import pytest

from rooflight.core.types import GpuSpec, KernelTimes, Op, TimedKernels, Trace, Workload
from rooflight.estimate.measured import (
    FARTHEST_BYTES,
    FEWEST,
    START_SECONDS,
    features,
    held_out,
    kernel_of,
    least_seconds,
    measured_seconds,
    reuse_distances,
    tabulate,
)
from rooflight.estimate.roofline import estimate

SPEC = GpuSpec(
    name="toy",
    memory_bytes=10**9,
    bytes_per_second=1e10,
    flops_per_second={"float32": 1e11},
    launch_seconds=1e-6,
    source="made up for this test",
)


def relu(elements: int, inputs: tuple[tuple[int, int], ...] = ()) -> Op:
    return Op(
        name="aten.relu_.default",
        kind="elementwise",
        phase="forward",
        flops=elements,
        bytes_read=4 * elements,
        bytes_written=4 * elements,
        dtype="float32",
        inputs=inputs,
        layout="last",
    )


def product(M: int, N: int, K: int) -> Op:
    return Op(
        name="aten.mm.default",
        kind="matmul",
        phase="forward",
        flops=2 * M * N * K,
        bytes_read=4 * (M * K + K * N),
        bytes_written=4 * M * N,
        dtype="float32",
        product=(1, M, N, K),
        layout="first",
    )


def trace_of(*ops: Op) -> Trace:
    return Trace(
        workload=Workload(model="toy", task="infer", batch=2, input_shape=(1,), dtype="float32"),
        parameters=0,
        parameter_bytes=0,
        flops=sum(op.flops for op in ops),
        bytes=sum(op.bytes_read + op.bytes_written for op in ops),
        peak_bytes=1,
        ops=ops,
        lifetimes=(),
    )


# Thirty products, each three times slower than at best, and fifteen ReLUs, each twice as slow.
PRODUCTS = [product(64 + 8 * index, 128, 256) for index in range(30)]
RELUS = [relu(1000 * 2 ** (index % 5)) for index in range(15)]
OPS = [*PRODUCTS, *RELUS]
SECONDS = [3 * least_seconds(op, SPEC) for op in PRODUCTS] + [2 * least_seconds(op, SPEC) for op in RELUS]
TABLE = tabulate([(OPS, SECONDS)], SPEC)


def test_names_without_their_overloads_and_in_place_marks() -> None:
    assert kernel_of(relu(1)) == "relu"
    assert kernel_of(replace(relu(1), name="aten._native_batch_norm_legit.default")) == "batch_norm"
    assert kernel_of(replace(relu(1), name="aten.native_batch_norm.default")) == "batch_norm"


def test_the_distance_is_what_was_moved_in_between() -> None:
    ops = [relu(50_000), relu(50_000, ((0, 200_000),)), relu(50_000, ((0, 200_000),))]
    assert reuse_distances(ops) == [FARTHEST_BYTES, 2**16, 400_000]  # nothing in between, then one ReLU's bytes


def test_a_convolution_tells_its_windows_by_its_bytes() -> None:
    """3×3 without a stride on (2, 16, 8, 8) with 32 filters: an element lies in nine windows; no padding."""
    weight, x, out = 32 * 16 * 9, 2 * 16 * 64, 2 * 32 * 64
    conv = replace(
        product(128, 32, 144),
        kind="convolution",
        bytes_read=4 * (x + weight),
        bytes_written=4 * out,
    )
    assert features(conv, 2**20)[:8] == pytest.approx((0, 7, 5, log(144, 2), 0, 1, log(9, 2), 0))
    both = replace(
        conv, phase="backward", flops=2 * conv.flops, bytes_read=4 * (out + weight + x), bytes_written=4 * (x + weight)
    )
    assert features(both, 2**20)[5:8] == pytest.approx((2, log(9, 2), 0))
    of_weight = replace(conv, phase="backward", bytes_read=4 * (out + x), bytes_written=4 * weight)
    assert features(of_weight, 2**20)[5:8] == pytest.approx((1, log(9, 2), 0))


def test_least_seconds_by_hand() -> None:
    op = product(100, 100, 100)
    assert least_seconds(op, SPEC) == pytest.approx(START_SECONDS + 2e6 / 1e11 + 120_000 / 1e10)
    assert least_seconds(relu(1000), SPEC) == pytest.approx(START_SECONDS + 8000 / 1e10)  # its FLOPs ride along


def test_timed_operators_are_told_as_they_were() -> None:
    seconds, unknown = measured_seconds(OPS, SPEC, TABLE)
    assert seconds == pytest.approx(SECONDS, rel=0.01)
    assert unknown == []


def test_one_in_between_takes_what_its_neighbours_took() -> None:
    op = product(100, 128, 256)
    ((seconds,), _) = measured_seconds([op], SPEC, TABLE)
    assert seconds == pytest.approx(3 * least_seconds(op, SPEC), rel=0.02)


def test_nothing_is_further_from_its_least_time_than_what_was_timed() -> None:
    for op in (product(10**5, 10**4, 10**4), product(1, 1, 1)):
        ((seconds,), _) = measured_seconds([op], SPEC, TABLE)
        assert seconds == pytest.approx(3 * least_seconds(op, SPEC), rel=0.01)


def test_a_rare_kernel_joins_its_kind_and_an_unknown_one_is_named() -> None:
    gelu = replace(relu(4000), name="aten.gelu.default")
    ((seconds,), unknown) = measured_seconds([gelu], SPEC, TABLE)
    assert seconds == pytest.approx(2 * least_seconds(gelu, SPEC), rel=0.05)
    assert unknown == []
    pool = replace(relu(4000), kind="pool", name="aten.max_pool2d.default")
    ((seconds,), unknown) = measured_seconds([pool], SPEC, TABLE)
    assert seconds == least_seconds(pool, SPEC)
    assert unknown == [pool]
    assert len(RELUS) >= FEWEST


def test_a_device_with_more_bandwidth_or_flops_is_never_slower() -> None:
    before = sum(measured_seconds(OPS, SPEC, TABLE)[0])
    assert sum(measured_seconds(OPS, replace(SPEC, bytes_per_second=2e10), TABLE)[0]) < before
    assert sum(measured_seconds(OPS, replace(SPEC, flops_per_second={"float32": 2e11}), TABLE)[0]) < before


def test_held_out_networks_are_predicted_from_the_others() -> None:
    """Four networks alike: what is said of each comes from the other three."""
    pairs = held_out([(network, OPS, SECONDS) for network in range(4)], SPEC)
    assert len(pairs) == 4
    for predicted, measured in pairs:
        assert predicted == pytest.approx(measured, rel=0.02)
    slow = [2 * seconds for seconds in SECONDS]
    pairs = held_out([(0, OPS, slow), *((network, OPS, SECONDS) for network in range(1, 4))], SPEC)
    assert sorted(predicted / measured for predicted, measured in pairs)[0] == pytest.approx(0.5, rel=0.02)


TIMED = TimedKernels(kernels=TABLE, networks=4, median_error=0.05, low=0.9, high=1.2)


def test_an_estimate_on_timed_kernels_is_their_sum() -> None:
    found = estimate(trace_of(*OPS), replace(SPEC, timed=TIMED), asynchronous=False)
    assert found.step_seconds == pytest.approx(sum(SECONDS), rel=0.01)
    assert found.samples_per_second / found.low == pytest.approx(1 / 0.9)
    assert found.high / found.samples_per_second == pytest.approx(1.2)
    assert "4 random networks" in found.assumptions[0]
    assert "off by 5.0 %" in found.assumptions[0]


def test_a_host_that_issues_slower_than_the_device_works_sets_the_pace() -> None:
    spec = replace(SPEC, timed=TIMED, launch_seconds=1.0)
    found = estimate(trace_of(*OPS), spec, asynchronous=True)
    assert (found.step_seconds, found.bound_by) == (len(OPS) * 1.0, "launch")


def test_an_operator_that_no_network_had_is_named() -> None:
    pool = replace(relu(4000), kind="pool", name="aten.max_pool2d.default")
    found = estimate(trace_of(*OPS, pool), replace(SPEC, timed=TIMED), asynchronous=False)
    assert any("the least time is taken: aten.max_pool2d.default" in line for line in found.assumptions)


def test_the_table_is_kept_short() -> None:
    many = [relu(1000 + index) for index in range(700)]
    (row,) = tabulate([(many, [1e-5] * 700)], SPEC)
    assert isinstance(row, KernelTimes)
    assert len(row.log_ratios) == 500
    assert len(row.features) == 500 * len(features(many[0], 2**20))
