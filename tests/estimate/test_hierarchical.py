"""The fitted model: caches, passes, fusion, the host, several GPUs; and the laws that hold whatever the figures are."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.core.errors import SpecError, TraceError
from rooflight.core.types import GpuSpec, Op, Trace
from rooflight.estimate.device import device, held_clock
from rooflight.estimate.fusion import fuse
from rooflight.estimate.kernels import kernels
from rooflight.estimate.parallel import threads_seconds
from rooflight.estimate.setting import Setting
from rooflight.estimate.shares import load_shares
from rooflight.estimate.step import step
from rooflight.estimate.sweep import Sweep
from rooflight.estimate.table import at_batch, table, without_phase
from rooflight.estimate.traffic import traffic
from tests.estimate.gpus import GPU, pointwise, product, step_of

MIB = 2**20
SHARES = load_shares()
EAGER = Setting()


def seconds(trace: Trace, spec: GpuSpec = GPU, setting: Setting = EAGER) -> float:
    return step(table(trace), device(spec, SHARES), setting, SHARES).seconds


# ---------------------------------------------------------------- caches and passes


def test_a_tensor_just_written_is_read_from_the_cache() -> None:
    trained = step_of(pointwise(MIB), pointwise(MIB, source=0), pointwise(MIB, phase="backward"), task="train")
    moved = traffic(table(trained), device(GPU, SHARES))
    assert moved.cache.tolist()[:2] == [0, MIB]
    assert moved.memory.tolist()[:2] == [2 * MIB, MIB]


def test_a_tensor_larger_than_the_cache_is_read_from_memory() -> None:
    size = 30 * MIB
    moved = traffic(table(step_of(pointwise(size), pointwise(size, source=0))), device(GPU, SHARES))
    assert moved.cache.tolist() == [0, 0]


def test_a_block_that_is_soon_written_over_never_leaves_the_cache() -> None:
    gpu = device(GPU, SHARES)  # 10 MiB of L2: four blocks of 2 MiB fit, of 10 MiB do not
    small, large = (traffic(table(step_of(pointwise(size))), gpu) for size in (2 * MIB, 10 * MIB))
    assert (small.memory.tolist(), small.cache.tolist()) == ([2 * MIB], [2 * MIB])
    assert (large.memory.tolist(), large.cache.tolist()) == ([20 * MIB], [0])


def test_what_backward_waits_for_is_written_to_memory() -> None:
    step = step_of(pointwise(2 * MIB), pointwise(2 * MIB, phase="backward"), task="train")
    assert traffic(table(step), device(GPU, SHARES)).memory.tolist() == [4 * MIB, 2 * MIB]


def test_what_was_moved_in_between_pushes_a_tensor_out() -> None:
    ops = (pointwise(MIB), pointwise(30 * MIB), pointwise(MIB, source=0), pointwise(30 * MIB, phase="backward"))
    assert traffic(table(step_of(*ops, task="train")), device(GPU, SHARES)).cache.tolist() == [0, 0, 0, 0]


def test_a_batch_norm_in_training_reads_its_input_twice() -> None:
    norm = replace(pointwise(100 * MIB), name="aten.cudnn_batch_norm.default", kind="normalization")
    trained = step_of(norm, pointwise(MIB, phase="backward"), task="train")
    gpu = device(GPU, SHARES)
    assert traffic(table(trained), gpu).memory[0] == 300 * MIB
    assert traffic(table(step_of(norm)), gpu).memory[0] == 200 * MIB


# ---------------------------------------------------------------- clocks and caches of architectures


def test_a_small_power_limit_holds_the_clock_of_products_down() -> None:
    strong = replace(GPU, target="7.5", tdp_watts=400.0)
    weak = replace(strong, tdp_watts=70.0)
    # 2 pJ · 1e14 FLOP/s = 200 W wanted, 0.85 · 70 − 10 W there
    assert held_clock(device(strong, SHARES), "matrix") == 1.0
    assert held_clock(device(weak, SHARES), "matrix") == pytest.approx((49.5 / 200) ** 0.5)
    assert seconds(step_of(product(4096, 4096, 4096)), weak) > seconds(step_of(product(4096, 4096, 4096)), strong)


def test_a_card_whose_draw_is_not_known_keeps_its_clock() -> None:
    assert held_clock(device(replace(GPU, target="7.5"), SHARES), "matrix") == 1.0


def test_units_that_are_sent_the_same_tiles_are_not_held_up_by_l2() -> None:
    fast = tuple(replace(rate, flops_per_second=20 * rate.flops_per_second) for rate in GPU.rates)
    ampere, hopper = (replace(GPU, rates=fast, target=target) for target in ("8.0", "9.0"))
    large = step_of(product(8192, 8192, 8192))
    assert seconds(large, hopper) < 0.7 * seconds(large, ampere)


def test_a_convolution_s_gradients_are_products_of_their_own() -> None:
    forward = replace(product(4096, 64, 576), name="aten.convolution.default", kind="convolution")
    both = replace(forward, name="aten.convolution_backward.default", phase="backward", flops=2 * forward.flops)
    weight = replace(both, flops=forward.flops)
    gpu, setting = device(GPU, SHARES), Setting(channels_last=True)
    found = kernels(table(step_of(forward, both, weight, task="train")), gpu, setting, SHARES).compute
    assert found[1] > found[2] > 0
    assert found[1] - found[2] > found[0]  # the input's gradient reaches less than forward does


def test_a_slow_card_takes_longer_and_its_parts_still_add_up() -> None:
    columns, gpu = table(step_of(product(4096, 4096, 4096), pointwise(64 * MIB))), device(GPU, SHARES)
    usual, slow = (step(columns, gpu, Setting(slow_gpu=factor), SHARES) for factor in (1.0, 1.25))
    assert slow.gpu_seconds == pytest.approx(1.25 * usual.gpu_seconds)
    assert sum(slow.by_bound.values()) == pytest.approx(slow.gpu_seconds)


# ---------------------------------------------------------------- fusion and the host


def test_compiling_joins_a_chain_into_one_kernel_that_reads_and_writes_once() -> None:
    chain = step_of(pointwise(MIB), pointwise(MIB, source=0), pointwise(MIB, source=1))
    fused = fuse(table(chain))
    assert fused.starts.tolist() == [True, False, False]
    assert (fused.table.bytes_read.sum(), fused.table.bytes_written.sum()) == (MIB, MIB)


def test_what_backward_reads_is_written_all_the_same() -> None:
    ops = (pointwise(MIB), pointwise(MIB, source=0), pointwise(MIB, source=0, phase="backward"))
    assert fuse(table(step_of(*ops, task="train"))).table.bytes_written[0] == MIB


def test_compiling_a_memory_bound_chain_is_faster() -> None:
    chain = step_of(*(pointwise(64 * MIB, source=index - 1 if index else None) for index in range(5)))
    assert seconds(chain, setting=Setting(compiled=True)) < 0.4 * seconds(chain)


def test_small_operators_wait_for_the_host() -> None:
    found = step(table(step_of(*[pointwise(512)] * 200)), device(GPU, SHARES), EAGER, SHARES)
    assert found.bound_by == "launch"
    assert found.seconds == pytest.approx(found.host_seconds, rel=0.01)


def test_large_operators_do_not() -> None:
    found = step(table(step_of(*[pointwise(512 * MIB)] * 20)), device(GPU, SHARES), EAGER, SHARES)
    assert found.bound_by == "memory"
    assert found.gpu_seconds <= found.seconds <= 1.2 * found.gpu_seconds + SHARES["issue_pass"]


# ---------------------------------------------------------------- tables


def test_a_batch_between_two_is_what_it_was_traced_as() -> None:
    def traced(batch: int) -> Trace:
        return step_of(product(batch * 64, 256, 128), pointwise(batch * 1024, source=0), batch=batch)

    middle = at_batch(table(traced(2)), table(traced(8)), 5.0)
    assert middle.flops.tolist() == table(traced(5)).flops.tolist()
    assert middle.rows.tolist() == table(traced(5)).rows.tolist()
    assert middle.read_bytes.tolist() == [5 * 1024]


def test_two_different_steps_are_refused() -> None:
    with pytest.raises(TraceError, match="two of the same step"):
        at_batch(table(step_of(pointwise(8), batch=1)), table(step_of(pointwise(8), pointwise(8), batch=2)), 4.0)


def test_the_last_phase_can_be_left_out() -> None:
    whole = table(step_of(pointwise(8), replace(pointwise(8, source=0), phase="optimizer"), task="train"))
    assert len(without_phase(whole, "optimizer")) == 1
    assert without_phase(whole, "optimizer").read_by.size == 0


# ---------------------------------------------------------------- several GPUs


def test_threads_on_one_gpu_are_one_gpu_and_on_more_copy_and_wait_for_each_other() -> None:
    one = step(table(step_of(product(4096, 4096, 4096))), device(GPU, SHARES), EAGER, SHARES)
    assert threads_seconds(one, 1, GPU, gradient_bytes=1e9, parameter_bytes=1e9) == one.seconds
    two, four = (threads_seconds(one, gpus, GPU, gradient_bytes=1e9, parameter_bytes=1e9) for gpus in (2, 4))
    # 2.27 GB over 0.55 of the 6 GB/s of an unknown link
    assert two > one.seconds + 2.27e9 / (0.55 * 6e9)
    assert four > two


# ---------------------------------------------------------------- what cannot be


def test_a_dtype_that_the_gpu_lacks_is_named() -> None:
    with pytest.raises(SpecError, match="round has no FLOP/s for int3"):
        seconds(step_of(product(64, 64, 64, dtype="int3")))


def test_a_gpu_without_units_is_refused() -> None:
    with pytest.raises(SpecError, match="units"):
        seconds(step_of(pointwise(8)), replace(GPU, units=None))


def test_a_trace_without_work_is_refused() -> None:
    with pytest.raises(TraceError, match="no work"):
        Sweep(trace=step_of(), setting=EAGER)


# ---------------------------------------------------------------- laws

ops = st.lists(
    st.one_of(
        st.builds(pointwise, st.integers(2, 200 * MIB)),
        st.builds(product, st.integers(1, 4096), st.integers(1, 4096), st.integers(1, 4096), batch=st.integers(1, 8)),
    ),
    min_size=1,
    max_size=12,
)


@given(found=ops, factor=st.floats(1, 8))
def test_more_bandwidth_is_never_slower(found: list[Op], factor: float) -> None:
    faster = replace(GPU, bytes_per_second=GPU.bytes_per_second * factor)
    assert seconds(step_of(*found), faster) <= seconds(step_of(*found)) * (1 + 1e-9)


@given(found=ops, factor=st.floats(1, 8))
def test_more_flops_per_second_are_never_slower(found: list[Op], factor: float) -> None:
    faster = replace(
        GPU, rates=tuple(replace(rate, flops_per_second=rate.flops_per_second * factor) for rate in GPU.rates)
    )
    assert seconds(step_of(*found), faster) <= seconds(step_of(*found)) * (1 + 1e-9)


@given(found=ops, factor=st.integers(1, 8))
def test_a_larger_cache_is_never_slower(found: list[Op], factor: int) -> None:
    larger = replace(GPU, l2_bytes=(GPU.l2_bytes or 0) * factor)
    assert seconds(step_of(*found), larger) <= seconds(step_of(*found)) * (1 + 1e-9)


@given(found=ops)
def test_costs_add_up(found: list[Op]) -> None:
    columns, gpu = table(step_of(*found)), device(GPU, SHARES)
    whole = step(columns, gpu, EAGER, SHARES)
    assert whole.gpu_seconds == pytest.approx(float(np.sum(kernels(columns, gpu, EAGER, SHARES).seconds)))
    assert sum(whole.by_bound.values()) == pytest.approx(whole.gpu_seconds)


@given(found=ops)
def test_the_estimate_lies_in_its_range(found: list[Op]) -> None:
    sweep = Sweep(trace=step_of(*found), setting=EAGER)
    estimate = sweep.estimate(GPU).estimate
    assert estimate.low < estimate.high
    assert estimate.samples_per_second == pytest.approx(8 / estimate.step_seconds)
    assert sweep.assumptions()


def test_a_graph_takes_the_work_off_the_host_and_nothing_off_the_gpu() -> None:
    columns = table(step_of(*[pointwise(2**20)] * 50))
    eager, graphed = (step(columns, device(GPU, SHARES), Setting(graphed=on), SHARES) for on in (False, True))
    assert graphed.gpu_seconds == eager.gpu_seconds
    assert graphed.host_seconds == pytest.approx(2.5e-6 + 50e-9)
    assert graphed.gpu_seconds <= graphed.seconds < eager.seconds
