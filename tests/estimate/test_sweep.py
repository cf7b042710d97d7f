"""One trace on many GPUs: the same as one by one, and what is added to each."""

from dataclasses import replace

import pytest

from rooflight.core.errors import SpecError, TraceError
from rooflight.core.parallel import Parallel
from rooflight.core.types import Lifetime, Link, Offer, Trace
from rooflight.estimate.batches import growth, largest_batch
from rooflight.estimate.breakdown import breakdown, operator_classes
from rooflight.estimate.device import device
from rooflight.estimate.setting import Setting
from rooflight.estimate.sweep import Sweep, by_gpu
from tests.estimate.gpus import GPU, pointwise, product, step_of

GIB = 2**30
CARD = replace(GPU, tdp_watts=300.0)
STEP = step_of(
    product(4096, 4096, 4096),
    pointwise(2**28, source=0),
    product(4096, 4096, 4096, phase="backward"),
    task="train",
)


def at(batch: int, *, per_sample: int = 2**20, fixed: int = 2**30) -> Trace:
    """A step whose memory is fixed + batch · per_sample bytes."""
    blocks = (
        Lifetime(bytes=fixed, first_op=0, last_op=1, role="parameter"),
        Lifetime(bytes=batch * per_sample, first_op=0, last_op=1, role="activation"),
    )
    step = step_of(product(batch * 64, 512, 512), pointwise(batch * 2**16, source=0), batch=batch)
    return replace(step, lifetimes=blocks, peak_bytes=fixed + batch * per_sample)


def test_a_sweep_says_of_each_gpu_what_one_of_its_own_says() -> None:
    setting = Setting()
    sweep = Sweep(trace=STEP, setting=setting)
    for spec in (GPU, replace(GPU, name="slow", bytes_per_second=3e11), replace(GPU, name="tiny", memory_bytes=GIB)):
        swept, alone = (each.estimate(spec).estimate for each in (sweep, Sweep(trace=STEP, setting=setting)))
        assert swept == alone


def test_power_and_price_are_added() -> None:
    offers = by_gpu(
        [
            Offer(gpu="round", gpus=2, usd_per_hour=7.2, provider="a cloud", as_of="2026-01-02", source="made up"),
            Offer(gpu="other", gpus=1, usd_per_hour=0.1, provider="a cloud", as_of="2026-01-02", source="made up"),
        ]
    )
    row = Sweep(trace=STEP, setting=Setting(), offers=offers).estimate(CARD).estimate
    assert row.watts is not None
    assert row.joules_per_sample == pytest.approx(row.watts / row.samples_per_second)
    assert row.usd_per_hour == 3.6
    assert row.usd_per_million_samples == pytest.approx(1000 / row.samples_per_second)
    unknown = Sweep(trace=STEP, setting=Setting()).estimate(GPU).estimate
    assert unknown.watts is unknown.joules_per_sample is unknown.usd_per_hour is unknown.max_batch is None


def test_several_gpus_take_the_time_that_parallel_says_and_none_takes_more_alone() -> None:
    gradient = Lifetime(bytes=GIB, first_op=2, last_op=2, role="gradient")
    trace = replace(STEP, lifetimes=(*STEP.lifetimes, gradient))
    linked = replace(CARD, links=(Link(name="a link", bytes_per_second=1e9, devices=8),))
    one, four = (Sweep(trace=trace, setting=Setting(), form=Parallel(data=gpus)).estimate(linked) for gpus in (1, 4))
    assert one.estimate.step_seconds == one.step.seconds
    assert one.shared is None
    assert four.shared is not None
    assert four.estimate.step_seconds == four.shared.seconds > one.step.seconds
    assert four.estimate.samples_per_second == pytest.approx(4 * trace.workload.batch / four.shared.seconds)
    assert four.estimate.bound_by == "network"
    assert four.memory.allocated_bytes >= one.memory.allocated_bytes + GIB  # the buckets of the gradients


def test_mfu_counts_against_the_dtype_that_products_run_in() -> None:
    rates = (
        replace(GPU.rates[0], flops_per_second=1e13),
        replace(GPU.rates[1], dtype="tfloat32", flops_per_second=8e13),
    )
    spec = replace(GPU, rates=rates, flops_per_second={"float32": 1e13, "tfloat32": 8e13})
    step = step_of(product(8192, 8192, 8192, dtype="float32"))
    step = replace(step, workload=replace(step.workload, dtype="float32"))
    mfu = Sweep(trace=step, setting=Setting(tf32="all")).estimate(spec).estimate.mfu
    assert mfu is not None
    assert 0.3 < mfu <= 1.2


def test_the_largest_batch_is_where_memory_ends() -> None:
    grown = growth(at(8), at(4))
    assert grown.fixed.tolist() == [2**30, 2**30]
    assert grown.per_sample.tolist() == [2**20, 2**20]
    assert largest_batch(grown, 2 * GIB) == 1024
    assert largest_batch(grown, 2**30 - 1) == 0
    assert largest_batch(growth(at(8, per_sample=0), at(4, per_sample=0)), GIB) is None


def test_the_largest_batch_does_not_depend_on_the_batch_that_was_traced_where_workspaces_are_most() -> None:
    def largest(batch: int) -> int | None:
        traces = [at(each, per_sample=2**16, fixed=2**16) for each in (batch, batch // 2)]
        grown = growth(*traces)
        spec = replace(GPU, target="9.0")
        return Sweep(trace=traces[0], setting=Setting(), grown=grown).estimate(spec).estimate.max_batch

    small, large = largest(8), largest(1024)
    assert small is not None
    assert small == pytest.approx(large, rel=0.02)


def test_the_largest_batch_of_a_gpu_fits_and_a_tenth_more_does_not() -> None:
    def swept(batch: int) -> Sweep:
        return Sweep(trace=at(batch), setting=Setting(), grown=growth(at(batch), at(2 * batch)))

    most = swept(256).estimate(GPU).estimate.max_batch
    assert most is not None
    assert swept(most).estimate(GPU).estimate.fits
    assert not swept(int(1.1 * most)).estimate(GPU).estimate.fits
    small = swept(2 * most).estimate(GPU).estimate
    assert not small.fits
    assert small.max_batch == pytest.approx(most, rel=0.02)


def test_two_traces_of_different_steps_have_no_growth() -> None:
    with pytest.raises(TraceError, match="two traces of the same step"):
        growth(at(8), STEP)
    with pytest.raises(TraceError, match="two traces of the same step"):
        growth(at(8), at(8))


def test_a_gpu_without_units_is_an_error() -> None:
    with pytest.raises(SpecError, match="no published units"):
        Sweep(trace=STEP, setting=Setting()).estimate(replace(GPU, units=None))
    with pytest.raises(TraceError, match="no work to time"):
        Sweep(trace=step_of(), setting=Setting())


def test_the_classes_of_a_step_add_up_to_the_gpu_seconds() -> None:
    sweep = Sweep(trace=STEP, setting=Setting())
    gpu = device(GPU, sweep.shares)
    for setting in (Setting(), Setting(compiled=True)):
        whole = Sweep(trace=STEP, setting=setting).estimate(GPU).step.gpu_seconds
        parts = breakdown(sweep.columns, operator_classes(STEP), gpu, setting, sweep.shares)
        assert sum(part.seconds for part in parts) == pytest.approx(whole)
        assert sum(part.share for part in parts) == pytest.approx(1.0)
        assert [part.name for part in parts] == ["matrix product", "ReLU"]
    assert parts[0].bound_by == "compute"
    assert parts[1].bound_by == "memory"


def test_operators_of_one_layer_are_one_class() -> None:
    names = (
        "aten.cudnn_batch_norm.default",
        "aten.native_batch_norm_backward.default",
        "aten._softmax.default",
        "aten.threshold_backward.default",
        "aten.add_.Tensor",
    )
    ops = [replace(pointwise(1), name=name) for name in names]
    ops.append(replace(pointwise(1), name="aten._foreach_add_.List", phase="optimizer"))
    assert operator_classes(step_of(*ops)) == ("batch norm", "batch norm", "softmax", "ReLU", "add", "optimizer")


def test_32_bit_indices_end_a_batch_that_memory_would_hold() -> None:
    def convolution(batch: int) -> Trace:
        op = replace(product(batch * 2**14, 64, 64), kind="convolution", name="aten.convolution.default")
        block = Lifetime(bytes=batch * 2**10, first_op=0, last_op=0, role="activation")
        return replace(step_of(op, batch=batch), lifetimes=(block,), peak_bytes=batch * 2**10)

    def most(setting: Setting) -> int | None:
        sweep = Sweep(trace=convolution(2**8), setting=setting, grown=growth(convolution(2**8), convolution(2**9)))
        return sweep.estimate(replace(GPU, memory_bytes=2**50)).estimate.max_batch

    # 2**14 · 64 = 2**20 results of a sample: 2047 samples stay below 2**31
    assert most(Setting()) == 2047
    last = most(Setting(channels_last=True))
    assert last is not None
    assert last > 2047
