"""What feeds a step: the slowest of loader, copy and device, over the machines that there are."""

from dataclasses import replace

import pytest

from rooflight.core.parallel import Parallel
from rooflight.core.types import Feed, Link
from rooflight.estimate.feeding import Sample, fed, most_fed, sample_of
from rooflight.estimate.parallel import COPY_SHARE
from rooflight.estimate.setting import Setting
from rooflight.estimate.sweep import Sweep
from tests.estimate.gpus import GPU, product, step_of

PCIE = Link(name="PCIe 4.0 x16", bytes_per_second=32e9, devices=None, source="made up")
CARD = replace(GPU, links=(PCIE,), tdp_watts=300.0)
IMAGE = Sample(copied_bytes=150e3, augmented_bytes=0.0)
STEP = step_of(product(4096, 4096, 4096), product(4096, 4096, 4096, phase="backward"), task="train")


def loader(rate: float) -> Feed:
    return Feed(samples_per_second=rate, words="made up")


def test_the_slower_of_loader_and_gpu_sets_the_pace() -> None:
    seconds, stages = fed(loader(1000.0), IMAGE, CARD, gpus=1, samples=64, seconds=0.02)
    assert seconds == pytest.approx(64 / 1000)
    assert (stages.loader_samples_per_second, stages.gpu_samples_per_second) == pytest.approx((1000, 64 / 0.02))
    assert fed(loader(1e6), IMAGE, CARD, gpus=1, samples=64, seconds=0.02)[0] == 0.02


def test_the_link_limits_what_the_loader_has() -> None:
    clip = Sample(copied_bytes=1e9, augmented_bytes=0.0)
    seconds, stages = fed(loader(1e6), clip, CARD, gpus=1, samples=8, seconds=0.02)
    assert seconds == pytest.approx(8 * 1e9 / (COPY_SHARE * 32e9))
    assert most_fed(stages) == stages.copy_samples_per_second == pytest.approx(8 / seconds)


def test_gpus_of_one_machine_share_its_loader_and_machines_have_one_each() -> None:
    one, eight, sixteen = (
        fed(loader(1000.0), IMAGE, CARD, gpus=gpus, samples=64 * gpus, seconds=0.001)[1] for gpus in (1, 8, 16)
    )
    assert one.loader_samples_per_second == eight.loader_samples_per_second == pytest.approx(1000)
    assert sixteen.loader_samples_per_second == pytest.approx(2000)
    assert (one.machines, eight.machines, sixteen.machines) == (1, 1, 2)


def test_without_a_link_the_copy_is_not_charged() -> None:
    for spec in (replace(CARD, links=()), replace(CARD, unified_memory=True)):
        assert fed(loader(1e6), IMAGE, spec, gpus=1, samples=1, seconds=0.02)[1].copy_samples_per_second is None


def test_images_go_as_bytes_and_are_augmented_in_one_pass_and_tokens_are_not() -> None:
    images = replace(STEP, workload=replace(STEP.workload, input_shape=(3, 10, 10), dtype="bfloat16"))
    assert sample_of(images) == Sample(copied_bytes=300, augmented_bytes=900)
    text = replace(STEP, workload=replace(STEP.workload, input_shape=(128,)))
    assert sample_of(text) == Sample(copied_bytes=1024, augmented_bytes=0.0)


def test_a_starved_step_is_slower_draws_less_and_is_bound_by_its_input() -> None:
    free = Sweep(trace=STEP, setting=Setting()).estimate(CARD).estimate
    rate = free.samples_per_second / 4
    row = Sweep(trace=STEP, setting=Setting(), feed=loader(rate)).estimate(CARD).estimate
    assert row.bound_by == "input"
    assert row.samples_per_second == row.low == row.high == pytest.approx(rate)
    assert row.mfu == pytest.approx((free.mfu or 0) / 4)
    assert (row.watts or 0) < (free.watts or 0)


def test_a_faster_loader_is_never_slower_and_never_beats_the_gpu() -> None:
    free = Sweep(trace=STEP, setting=Setting()).estimate(CARD).estimate.samples_per_second
    rates = [
        Sweep(trace=STEP, setting=Setting(), feed=loader(free * share), form=Parallel()).estimate(CARD).estimate
        for share in (0.1, 0.5, 0.9, 1.1, 10.0)
    ]
    found = [row.samples_per_second for row in rates]
    assert found == sorted(found)
    assert max(found) <= free
    assert rates[-1].bound_by != "input"
