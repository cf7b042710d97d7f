"""Forms of parallelism on a decoder of round sizes: published formulas by hand, and laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel, words
from rooflight.core.types import GpuSpec
from rooflight.estimate.device import device
from rooflight.estimate.holding import blocks_of, held, peak_by_role
from rooflight.estimate.layout import Role, layout
from rooflight.estimate.overlap import BUCKET_BYTES, FIRST_BUCKET_BYTES, _streams, buckets, reduced_beside, slowed
from rooflight.estimate.pace import added
from rooflight.estimate.pipeline import blocks_of_stages
from rooflight.estimate.scaling import AS_FAST, Search, numbers
from rooflight.estimate.setting import Setting
from rooflight.estimate.several import Several, several, weights_of
from rooflight.estimate.shares import load_shares
from rooflight.estimate.step import step
from rooflight.estimate.table import table
from rooflight.estimate.tensor import exchanges, split
from tests.estimate.decoder import HEADS, LENGTH, LINKED, VOCABULARY, WIDTH, decoder
from tests.estimate.gpus import pointwise, product, step_of

SHARES = load_shares()
EAGER = Setting()
TRACE = decoder()
TABLE = table(TRACE)
WEIGHTS = weights_of(TRACE)
FORMS = st.builds(
    Parallel,
    data=st.sampled_from([1, 2, 8, 64, 1024]),
    tensor=st.sampled_from([1, 2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 4]),
    micro_batches=st.sampled_from([1, 4, 16]),
    sharding=st.sampled_from(["none", "optimizer"]),
    sequence=st.booleans(),
)


def of(form: Parallel, spec: GpuSpec = LINKED, setting: Setting = EAGER) -> Several:
    return several(TABLE, WEIGHTS, form, spec, setting, SHARES)


# ---------------------------------------------------------------- blocks


def test_blocks_are_found_and_every_product_is_cut_one_way() -> None:
    found = layout(TABLE)
    assert found.blocks == 4
    roles = [Role(int(role)) for role, kind in zip(found.roles, TABLE.kinds, strict=True) if kind == "matmul"]
    # forward: qkv, out, up, down; then the head; backward: two gradients each
    assert roles[:5] == [Role.COLUMN, Role.ROW, Role.COLUMN, Role.ROW, Role.COLUMN]
    assert roles.count(Role.COLUMN) == 3 * (2 * 4 + 1)
    assert roles.count(Role.ROW) == 3 * 2 * 4


def test_a_model_without_attention_has_no_blocks_and_cannot_be_cut() -> None:
    ops = step_of(product(64, 64, 64), pointwise(64, source=0))
    assert layout(table(ops)).blocks == 0
    with pytest.raises(ConfigError, match="attention blocks"):
        several(table(ops), WEIGHTS, Parallel(tensor=2), LINKED, EAGER, SHARES)


def test_one_of_four_ranks_does_a_quarter_of_the_products_and_all_of_the_norms() -> None:
    found = layout(TABLE)
    part = split(TABLE, found, Parallel(tensor=4))
    products = TABLE.kind("matmul", "attention")
    assert part.flops[products].sum() == pytest.approx(TABLE.flops[products].sum() / 4)
    norms = TABLE.kind("normalization")
    assert part.bytes[norms].tolist() == TABLE.bytes[norms].tolist()
    assert split(TABLE, found, Parallel(tensor=4, sequence=True)).bytes[norms].sum() == TABLE.bytes[norms].sum() / 4
    rows = 4 * LENGTH
    qkv, out = np.flatnonzero(products)[0], np.flatnonzero(products)[2]
    assert (part.rows[qkv], part.columns[qkv], part.depth[qkv]) == (rows, 3 * WIDTH / 4, WIDTH)
    assert (part.rows[out], part.columns[out], part.depth[out]) == (rows, WIDTH, WIDTH / 4)


def test_a_block_exchanges_its_text_twice_each_way() -> None:
    # Megatron-LM: two all-reduces forward and two backward in each block, of batch · length · width values
    found = layout(TABLE)
    forward, backward = (exchanges(TABLE, found, phase) for phase in ("forward", "backward"))
    assert forward.message_bytes == 4 * LENGTH * WIDTH * 2
    assert (forward.count, backward.count) == (2 * 4 + 1, 2 * 4 + 1)  # and the embedding's, the head's


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match=f"{HEADS} attention heads do not divide among 3"):
        of(Parallel(tensor=3))
    with pytest.raises(ConfigError, match="the model has 4"):
        of(Parallel(pipeline=8))


# ---------------------------------------------------------------- pipeline


def test_the_bubble_is_what_megatron_says() -> None:
    # (p − 1) / m of the work of a stage, and a v-th of it with v pieces; here stages are alike but for their ends
    trace = decoder(layers=32)
    plain, pieces = (
        several(table(trace), weights_of(trace), form, LINKED, EAGER, SHARES).shared
        for form in (Parallel(pipeline=4, micro_batches=8), Parallel(pipeline=4, micro_batches=8, interleave=2))
    )
    assert plain.waiting["bubble"] / plain.working == pytest.approx(3 / 8, rel=0.1)
    assert pieces.waiting["bubble"] == pytest.approx(plain.waiting["bubble"] / 2)


def test_more_micro_batches_make_the_bubble_a_smaller_share() -> None:
    shares = [
        found.waiting["bubble"] / found.seconds
        for found in (of(Parallel(pipeline=4, micro_batches=count)).shared for count in (1, 4, 16, 64))
    ]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.05


def test_blocks_that_do_not_divide_go_to_the_middle() -> None:
    assert blocks_of_stages(10, 4) == [2, 3, 3, 2]
    assert blocks_of_stages(8, 4) == [2, 2, 2, 2]
    assert sum(blocks_of_stages(61, 7)) == 61


# ---------------------------------------------------------------- replicas


def test_gradients_go_in_buckets_of_which_the_first_is_small() -> None:
    sizes = buckets(100e6)
    assert sizes[0] == FIRST_BUCKET_BYTES
    assert sizes[1:].max() <= BUCKET_BYTES
    assert sizes.sum() == pytest.approx(100e6)
    assert buckets(1000.0).tolist() == [1000.0]


def test_a_bucket_waits_for_its_gradients_and_for_the_bucket_before_it() -> None:
    ready, took = np.array([1.0, 2.0, 10.0]), np.array([3.0, 1.0, 2.0])
    # 1 → 4, 4 → 5, 10 → 12: two seconds after the work is done at 10
    assert reduced_beside(ready, took, 10.0, contention=0.0) == 12.0
    # four of six seconds are beside the work, which takes 0.2 · 4 longer, and the last bucket comes later
    assert slowed(10.0, 6.0, 2.0, contention=0.2) == pytest.approx(1.08)
    assert reduced_beside(ready, took, 10.0, contention=0.2) == pytest.approx(12.8)


def test_weights_are_gathered_ahead_and_only_the_first_is_waited_for() -> None:
    # three units of 10 s forward and 20 s backward, gathered in 2 s, scattered in 4 s: the first gather is waited for,
    # and the last scatter; the last unit's second gather comes while it is at work
    gather, scatter = [2.0] * 3, [4.0] * 3
    assert _streams(gather, scatter, np.full(3, 10.0), np.full(3, 20.0)) == 2 + 30 + 60 + 4
    assert _streams(gather, scatter, np.full(3, 10.0), np.zeros(0)) == 2 + 30
    # a network that is slower than the work sets the pace: six gathers and three scatters
    assert _streams([20.0] * 3, [40.0] * 3, np.full(3, 1.0), np.full(3, 2.0)) >= 6 * 20 + 3 * 40


def test_a_load_that_grows_is_felt_where_the_pass_has_no_room_for_it() -> None:
    assert added(10.0, 2.0, 10.0) == 2.0
    assert added(9.0, 2.0, 10.0) == 1.0
    assert added(3.0, 2.0, 10.0) == 0.0
    assert added(12.0, 2.0, 10.0) == 2.0  # the host had run ahead of the pass before


def test_sharded_weights_are_moved_half_as_much_again() -> None:
    # ZeRO: 2 Ψ for plain data parallel and its stages 1 and 2, 3 Ψ for stage 3, all in values of 4 bytes here
    even = replace(WEIGHTS, gathered=WEIGHTS.reduced)
    sent = {
        kind: several(TABLE, even, Parallel(data=8, sharding=kind), LINKED, EAGER, SHARES).shared.sent_bytes  # type: ignore[arg-type]
        for kind in ("none", "optimizer", "parameters")
    }
    assert sent["none"] == sent["optimizer"] == pytest.approx(2 * 7 / 8 * WEIGHTS.reduced)
    assert sent["parameters"] == pytest.approx(1.5 * sent["none"])


def test_what_a_host_issues_for_shards_is_added_where_the_host_sets_the_pace_and_hidden_where_the_gpu_does() -> None:
    def beyond(setting: Setting) -> float:
        alone = step(TABLE, device(LINKED, SHARES), setting, SHARES).seconds
        return of(Parallel(data=8, sharding="parameters"), setting=setting).shared.working - alone

    each = 3 * 4 * 2 * SHARES["issue_function"]  # four blocks, each gathered twice and scattered once
    assert beyond(Setting(slow_gpu=1e-3)) == pytest.approx(each, rel=0.02)
    assert beyond(Setting(slow_gpu=1e-3, slow_host=2.0)) == pytest.approx(2 * each, rel=0.02)
    assert beyond(Setting(slow_gpu=10.0)) < 0  # and an eighth of the optimizer's work


def test_sharded_weights_are_not_faster_than_whole_ones_while_the_host_sets_the_pace() -> None:
    for data in (2, 8, 64):
        plain = of(Parallel(data=data)).shared.seconds
        assert of(Parallel(data=data, sharding="parameters")).shared.seconds > plain
        # the optimizer's own kernels are the GPU's work: a shard of them is shorter
        assert of(Parallel(data=data, sharding="optimizer")).shared.seconds > 0.99 * plain


# ---------------------------------------------------------------- memory


def test_zero_keeps_what_its_paper_says() -> None:
    # Ψ parameters: 4 Ψ of weights, 4 Ψ of gradients, 8 Ψ of Adam's state in float32, over 8 ranks
    psi = TRACE.parameters
    blocks, found = blocks_of(TRACE.lifetimes), layout(TABLE)

    def states(kind: str) -> float:
        form = Parallel(data=8, sharding=kind)  # type: ignore[arg-type]
        mine = held(blocks, TABLE, found, form, replace(WEIGHTS, gathered=0.0, reduced=0.0))
        return float(mine.bytes[mine.having("parameter", "gradient", "optimizer_state")].sum())

    assert states("none") == pytest.approx(16 * psi)
    assert states("optimizer") == pytest.approx((8 + 8 / 8) * psi)
    assert states("gradients") == pytest.approx((4 + 12 / 8) * psi)
    assert states("parameters") == pytest.approx(16 / 8 * psi)


def test_the_first_stage_keeps_as_many_micro_batches_open_as_there_are_stages() -> None:
    blocks, found = blocks_of(TRACE.lifetimes), layout(TABLE)

    def kept(form: Parallel) -> float:
        mine = held(blocks, TABLE, found, form, WEIGHTS)
        across = TABLE.phase("forward")[mine.first] & TABLE.phase("backward")[mine.last]
        return float(mine.bytes[across & mine.having("activation")].sum())

    whole = kept(Parallel())
    assert kept(Parallel(pipeline=4, micro_batches=8)) == pytest.approx(whole)  # 4 of a quarter of the blocks
    assert kept(Parallel(pipeline=4, micro_batches=1)) == pytest.approx(whole / 4)


@given(form=FORMS)
@settings(deadline=None)
def test_no_form_needs_more_than_one_gpu_but_for_what_it_sends(form: Parallel) -> None:
    blocks, found = blocks_of(TRACE.lifetimes), layout(TABLE)
    quiet = replace(WEIGHTS, gathered=0.0, reduced=0.0)
    alone = sum(peak_by_role(blocks, len(TABLE)).values())
    assert sum(peak_by_role(held(blocks, TABLE, found, form, quiet), len(TABLE)).values()) <= alone * (1 + 1e-9)


# ---------------------------------------------------------------- laws


def test_one_gpu_is_the_one_gpu_case_of_every_form() -> None:
    alone = step(TABLE, device(LINKED, SHARES), EAGER, SHARES).seconds
    for sharding in ("none", "optimizer", "gradients", "parameters"):
        assert of(Parallel(sharding=sharding)).shared.seconds == alone  # type: ignore[arg-type]
    twice = of(Parallel(micro_batches=2)).shared.seconds
    optimizer = 2 * alone - twice
    assert 0 < optimizer < alone


@given(form=FORMS, faster=st.floats(1.0, 8.0))
@settings(deadline=None, max_examples=40)
def test_faster_links_are_never_slower(form: Parallel, faster: float) -> None:
    link = replace(LINKED.links[0], bytes_per_second=faster * LINKED.links[0].bytes_per_second)
    better = of(form, replace(LINKED, links=(link,))).shared.seconds
    assert better <= of(form).shared.seconds * (1 + 1e-9)


@given(form=FORMS)
@settings(deadline=None, max_examples=40)
def test_parts_of_a_step_are_the_whole_and_none_is_negative(form: Parallel) -> None:
    found = of(form).shared
    assert all(seconds >= 0 for seconds in found.waiting.values())
    assert found.working + sum(found.waiting.values()) == pytest.approx(found.seconds)
    assert found.working > 0
    assert found.between_bytes <= found.sent_bytes * (1 + 1e-9)


@pytest.mark.parametrize("sharding", ["none", "parameters"])
def test_weak_scaling_gains_nothing(sharding: str) -> None:
    def rest(data: int) -> float:
        shared = of(Parallel(data=data, sharding=sharding)).shared  # type: ignore[arg-type]
        return shared.waiting.get("data", 0.0)

    waits = [rest(data) for data in (1, 8, 64, 512, 4096)]
    assert waits == sorted(waits)
    assert waits[0] == 0.0 < waits[-1]


def test_recomputing_takes_another_forward_pass() -> None:
    form = Parallel(data=8, sharding="parameters")
    plain, again = (of(form, setting=Setting(recomputes=on)).shared.working for on in (False, True))
    # Forward's part of the step, of the host's work or of the GPU's: whichever sets the pace.
    one = step(TABLE, device(LINKED, SHARES), EAGER, SHARES)
    backward = min(one.host_backward_seconds / one.host_seconds, one.backward_seconds / one.gpu_seconds)
    assert 1.15 < again / plain < 2.0 - backward + 0.02


# ---------------------------------------------------------------- search


def search(spec: GpuSpec = LINKED) -> Search:
    return Search(small=decoder(batch=2), large=decoder(batch=4), spec=spec, setting=EAGER, shares=SHARES)


def test_the_best_form_is_the_plainest_of_the_fastest_and_does_all_the_samples() -> None:
    found = search().best(8, 64)
    fastest = min(each.shared.seconds for each in found)
    assert found[0].shared.seconds <= AS_FAST * fastest
    for each in found:
        plainer = each.mechanisms < found[0].mechanisms
        assert each.shared.seconds >= (AS_FAST * fastest if plainer else fastest)
    for each in found:
        assert each.samples == 64
        assert each.form.gpus == 8
    forms = {(each.form.data, each.form.tensor, each.form.pipeline) for each in found}
    assert {(8, 1, 1), (1, 8, 1), (2, 2, 2)} <= forms


def test_what_does_not_fit_whole_is_sharded() -> None:
    state = 16 * TRACE.parameters
    small = replace(LINKED, memory_bytes=int(0.75 * state) + 2**29)
    assert search(small).best(1, 8) == []
    best = search(small).best(8, 8)[0].form
    assert best.tensor * best.pipeline * best.shards > 1


def test_numbers_double_and_end_at_the_last() -> None:
    assert numbers(1, 8) == [1, 2, 4, 8]
    assert numbers(3, 20) == [3, 6, 12, 20]
    assert numbers(5, 5) == [5]


# ---------------------------------------------------------------- the form itself


def test_a_form_says_itself_and_refuses_what_is_none() -> None:
    form = Parallel(data=64, tensor=8, sharding="parameters", shard_group=8)
    assert form.gpus == 512
    assert words(form) == "data 64 × tensor 8, parameters sharded in groups of 8"
    assert words(Parallel()) == "one GPU"
    with pytest.raises(ConfigError, match="does not divide 6"):
        Parallel(data=6, shard_group=4)
    with pytest.raises(ConfigError, match="1 or more"):
        Parallel(data=0)
    with pytest.raises(ConfigError, match="a pipeline with sharded parameters"):
        Parallel(pipeline=2, sharding="parameters")
    with pytest.raises(ConfigError, match="one stage"):
        Parallel(interleave=2)


def test_the_head_is_as_wide_as_its_words() -> None:
    # the toy's own sums: 12 · width² a block, embedding and head
    assert TRACE.parameters == 4 * 12 * WIDTH**2 + 2 * VOCABULARY * WIDTH
