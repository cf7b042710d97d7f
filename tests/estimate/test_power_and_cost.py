"""Watts and dollars by hand, on round figures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.core.types import Estimate, Offer
from rooflight.estimate.cost import bought, rented, usd_per_million, with_run
from rooflight.estimate.power import COMPUTE_SHARE, IDLE_SHARE, MEMORY_SHARE, box, draw_watts
from rooflight.estimate.step import Step
from tests.estimate.gpus import GPU

CARD = replace(GPU, tdp_watts=400.0, psu_watts=800.0, launch_usd=2630.0, form_factor="PCIe", cooling=("active",))


def step_of(*, compute: float = 0.0, memory: float = 0.0, launch: float = 0.0, host: float = 0.0) -> Step:
    gpu = compute + memory + launch
    return Step(
        seconds=max(gpu, host),
        gpu_seconds=gpu,
        host_seconds=host,
        backward_seconds=0.0,
        host_backward_seconds=0.0,
        host_plain_seconds=host,
        by_bound={"compute": compute, "memory": memory, "launch": launch},
    )


def test_each_state_draws_its_share_of_the_tdp() -> None:
    assert draw_watts(CARD, step_of(compute=1.0)) == pytest.approx(400 * COMPUTE_SHARE)
    assert draw_watts(CARD, step_of(memory=1.0)) == pytest.approx(400 * MEMORY_SHARE)
    assert draw_watts(CARD, step_of(compute=1e-9, host=1.0)) == pytest.approx(400 * IDLE_SHARE)


def test_a_step_draws_the_mean_over_its_time() -> None:
    # half a second of arithmetic, a quarter of memory, a quarter of waiting
    mean = 400 * (0.5 * COMPUTE_SHARE + 0.25 * MEMORY_SHARE + 0.25 * IDLE_SHARE)
    assert draw_watts(CARD, step_of(compute=0.5, memory=0.25, host=1.0)) == pytest.approx(mean)


@given(*[st.floats(1e-6, 1.0) for _ in range(4)])
def test_a_gpu_draws_between_idle_and_its_tdp(compute: float, memory: float, launch: float, host: float) -> None:
    watts = draw_watts(CARD, step_of(compute=compute, memory=memory, launch=launch, host=host))
    assert watts is not None
    assert watts * (1 + 1e-9) >= 400 * IDLE_SHARE
    assert watts <= 400 * (1 + 1e-9)


def test_without_a_tdp_power_is_not_known() -> None:
    assert draw_watts(GPU, step_of(compute=1.0)) is None
    assert box(GPU, 1, None) is None


def test_a_box_of_one_card() -> None:
    found = box(CARD, 1, 300.0)
    assert found is not None
    assert found.gpu_watts == 300
    assert found.box_watts == 400 + 200
    assert found.supply_watts == 800  # the maker's recommendation is more
    assert found.heat_btu_per_hour == pytest.approx(600 * 3.412)
    assert "fan" in found.cooling


def test_a_box_of_eight_needs_more_than_eight_cards() -> None:
    found = box(CARD, 8, 300.0)
    assert found is not None
    assert found.gpu_watts == 2400
    assert found.box_watts == pytest.approx(1.8 * 3200)
    assert found.supply_watts == found.box_watts


def test_a_laptop_is_its_own_box() -> None:
    assert box(replace(CARD, form_factor="laptop"), 1, 100.0) is None


def offer(usd: float, *, gpus: int = 1, spot: bool = False, gpu: str = "round") -> Offer:
    return Offer(
        gpu=gpu, gpus=gpus, usd_per_hour=usd, provider="a cloud", spot=spot, as_of="2026-01-02", source="made up"
    )


def test_the_cheapest_offer_on_demand_counts_per_gpu() -> None:
    price = rented(GPU, [offer(3.0), offer(16.0, gpus=8), offer(0.5, spot=True), offer(0.1, gpu="another")])
    assert price is not None
    assert price.usd_per_hour == 2.0
    assert price.source == "a cloud, on demand, as one of 8, 2026-01-02"
    assert rented(GPU, [offer(0.5, spot=True)]) is None


def test_a_bought_card_is_written_off_and_fed() -> None:
    price = bought(CARD, 500.0, usd_per_kwh=0.2)
    assert price is not None
    # 2630 USD over 3 years of 8766 h are 0.10001 USD/h; half a kilowatt at 0.2 USD is 0.1
    assert price.usd_per_hour == pytest.approx(0.2, rel=1e-3)
    two = bought(replace(CARD, devices_per_card=2), 0.0, usd_per_kwh=0.2)
    assert two is not None
    assert two.usd_per_hour == pytest.approx(0.05, rel=1e-3)
    assert bought(GPU, 500.0) is None
    assert bought(CARD, None) is None


def test_dollars_for_a_million_samples() -> None:
    # 3.6 USD an hour are 0.001 USD a second; at 1000 samples/s a million takes 1000 s
    assert usd_per_million(3.6, 1000.0) == pytest.approx(1.0)


def test_a_run_is_its_samples_times_what_one_takes() -> None:
    one = Estimate(
        gpu="a",
        fits=True,
        peak_bytes=1,
        step_seconds=1.0,
        samples_per_second=100.0,
        low=80.0,
        high=120.0,
        bound_by="memory",
        mfu=None,
        joules_per_sample=3.6,
        usd_per_million_samples=2.0,
    )
    run = with_run(one, 5_000_000)
    assert (run.run_seconds, run.run_kwh, run.run_usd) == (50_000.0, 5.0, 10.0)
    unpriced = with_run(replace(one, joules_per_sample=None, usd_per_million_samples=None), 100)
    assert (unpriced.run_seconds, unpriced.run_kwh, unpriced.run_usd) == (1.0, None, None)
