"""Products on tiles: whole waves cost what they should, edges and short depths cost more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.estimate.products import Engine, product_seconds

FREE = Engine(units=100.0, flops_per_second=1e14, feed_bytes_per_second=1e30, fill=0.0)


def seconds(m: float, n: float, k: float, engine: Engine = FREE, batch: float = 1.0) -> float:
    one = np.array([1.0])
    return float(product_seconds(batch * one, m * one, n * one, k * one, 2.0 * one, engine)[0])


def test_tiles_that_fill_every_unit_take_flops_over_rate() -> None:
    # 100 tiles of 256 × 128 on 100 units
    assert seconds(256 * 10, 128 * 10, 4096) == pytest.approx(2 * 2560 * 1280 * 4096 / 1e14)


def test_one_row_more_than_whole_tiles_takes_another_wave_at_most() -> None:
    whole, more = seconds(2560, 1280, 4096), seconds(2561, 1280, 4096)
    assert whole < more <= 2 * whole


def test_a_product_as_narrow_as_one_column_pays_for_a_whole_tile() -> None:
    # the narrowest tile has 32 columns: 32 times the FLOPs of one
    assert seconds(32 * 100, 1, 128) == pytest.approx(32 * 2 * 3200 * 128 / 1e14)


def test_filling_the_pipeline_adds_its_depth_to_every_tile() -> None:
    slow = Engine(units=100.0, flops_per_second=1e14, feed_bytes_per_second=1e30, fill=64.0)
    assert seconds(2560, 1280, 64, slow) == pytest.approx(2 * seconds(2560, 1280, 64))


def test_a_long_depth_is_split_over_idle_units() -> None:
    alone = 2 * 32 * 32 * 65536 / (1e14 / 100)  # one tile on one unit
    assert seconds(32, 32, 65536) < alone / 50


def test_a_last_wave_that_is_nearly_empty_is_split_too() -> None:
    # 110 tiles of 256 × 128 on 100 units: two waves whole, one and a quarter in quarters of a long K
    assert seconds(2560, 1408, 65536) < 1.4 * seconds(2560, 1280, 65536)


def test_l2_bounds_small_tiles() -> None:
    fed = Engine(units=100.0, flops_per_second=1e14, feed_bytes_per_second=1e12, fill=0.0)
    # the largest tile needs (256 + 128) · K · 2 bytes for 2 · 256 · 128 · K FLOPs
    assert seconds(2560, 1280, 4096, fed) == pytest.approx(100 * 384 * 4096 * 2 / 1e12)


@given(
    m=st.integers(1, 5000),
    n=st.integers(1, 5000),
    k=st.integers(1, 5000),
    batch=st.integers(1, 64),
    fast=st.floats(1, 10),
)
def test_never_faster_than_the_rate_and_never_slower_on_a_faster_engine(
    m: int, n: int, k: int, batch: int, fast: float
) -> None:
    found = seconds(m, n, k, batch=batch)
    assert found >= 2 * batch * m * n * k / 1e14 * (1 - 1e-9)
    faster = Engine(units=100.0, flops_per_second=fast * 1e14, feed_bytes_per_second=1e30, fill=0.0)
    assert seconds(m, n, k, faster, batch) <= found * (1 + 1e-9)
