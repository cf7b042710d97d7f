"""The order of an epoch, and its share for each rank."""

import numpy as np
import pytest

from rooflight.core.errors import ConfigError
from rooflight.data.loader.order import check_ranks, rank_slices, shuffled, shuffled_by_shard


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch() -> None:
    orders = [shuffled(1000, seed=seed, epoch=epoch) for seed in (0, 1) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    assert len({tuple(order) for order in orders}) == 4
    assert np.array_equal(orders[1], shuffled(1000, seed=0, epoch=1))


def test_an_order_is_the_same_on_every_machine() -> None:
    assert shuffled(8, seed=3, epoch=5).tolist() == [0, 6, 2, 1, 3, 4, 7, 5]


def test_every_place_is_as_likely() -> None:
    places = np.array([np.argsort(shuffled(10, seed=0, epoch=epoch)) for epoch in range(4000)])
    counts = np.array([np.bincount(places[:, sample], minlength=10) for sample in range(10)])
    assert abs(counts - 400).max() < 5 * np.sqrt(400 * 0.9)


def test_a_shard_order_stays_close_to_its_shards() -> None:
    sizes, buffer = [50] * 20, 100
    order = shuffled_by_shard(sizes, buffer, seed=0, epoch=1)
    assert sorted(order) == list(range(1000))
    for block in order.reshape(-1, buffer):
        assert len(set(block // 50)) == 2  # 100 samples: two whole shards
    assert not np.array_equal(order, shuffled_by_shard(sizes, buffer, seed=0, epoch=2))
    assert not np.array_equal(order[:100], np.sort(order[:100]))


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_the_global_batch_is_the_same_set_for_every_world_size(world_size: int) -> None:
    order = shuffled(104, seed=0, epoch=1)
    ranks = [
        list(rank_slices(104, batch=16, rank=rank, world_size=world_size, start=0, drop_last=False))
        for rank in range(world_size)
    ]
    for step, together in enumerate(zip(*ranks, strict=True)):
        samples = [order[places] for _, places in together]
        assert {len(mine) for mine in samples} == {len(samples[0])}
        assert set(np.concatenate(samples)) == set(order[step * 16 : step * 16 + 16])


def test_the_last_batch_may_be_dropped() -> None:
    plan = rank_slices(10, batch=4, rank=0, world_size=1, start=0, drop_last=True)
    assert [after for after, _ in plan] == [4, 8]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rank": 2}, "rank 2 of 2"),
        ({"batch": 7}, "cannot be shared by 2 ranks"),
        ({"left": 11}, "the last batch has 3 samples"),
    ],
    ids=str,
)
def test_what_ranks_cannot_share_is_refused(changed: dict[str, int], message: str) -> None:
    asked = {"left": 12, "batch": 4, "rank": 0, "world_size": 2, "drop_last": False} | changed
    with pytest.raises(ConfigError, match=message):
        check_ranks(**asked)  # type: ignore[arg-type]


def test_the_last_digits_of_a_large_seed_count() -> None:
    orders = {tuple(shuffled(50, seed=seed, epoch=1)) for seed in (2**63, 2**63 + 1, 2**64 - 1)}
    assert len(orders) == 3
