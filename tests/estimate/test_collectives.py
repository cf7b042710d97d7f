"""Collectives by hand, against what was measured, and their laws."""

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.catalogue.find import find
from rooflight.catalogue.links import Collective as Measured
from rooflight.catalogue.links import collectives
from rooflight.estimate.collectives import (
    OWN_PART,
    Group,
    algorithm,
    bus_bytes_per_second,
    seconds,
)
from rooflight.estimate.fabric import Fabric, fabric
from tests.estimate.decoder import LINKED
from tests.estimate.gpus import GPU

A100 = fabric(LINKED)
KINDS = st.sampled_from(["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send"])


def bus_factor(collective: str, ranks: int) -> float:
    """Bytes over the bus for a byte of the message, as nccl-tests counts."""
    return (2 if collective == "all_reduce" else 1) * (ranks - 1) / ranks


def predicted_bus(row: Measured) -> float:
    took = seconds(row.collective, float(row.message_bytes), Group(ranks=row.gpus), fabric(find(row.gpu)))  # type: ignore[arg-type]
    return bus_factor(row.collective, row.gpus) * row.message_bytes / took


# A host without peer access between its cards, and runs in which the algorithm was chosen by hand.
ODD = ("perhaps no peer-to-peer", "NCCL_NVLS_ENABLE=0", "ring")


def test_measured_bus_bandwidths_are_met_within_a_tenth_and_half_of_them_within_a_twentieth() -> None:
    errors = [
        abs(predicted_bus(row) / row.bus_bytes_per_second - 1)
        for row in collectives()
        if row.bus_bytes_per_second and not any(word in row.note for word in ODD)
    ]
    assert len(errors) > 70
    assert median(errors) < 0.05
    assert sorted(errors)[int(0.9 * len(errors))] < 0.11


def test_measured_latencies_of_short_messages_are_met_within_two_fifths() -> None:
    errors = []
    for row in collectives():
        if row.seconds:
            took = seconds("all_reduce", float(row.message_bytes), Group(ranks=row.gpus), fabric(find(row.gpu)))
            errors.append(abs(took / row.seconds - 1))
    assert len(errors) == 21
    assert median(errors) < 0.25
    assert max(errors) < 0.45


def test_a_ring_moves_every_byte_almost_twice() -> None:
    long, longer = (seconds("all_reduce", size, Group(ranks=8), A100) for size in (8e9, 16e9))
    bus = bus_bytes_per_second(Group(ranks=8), A100)
    assert longer - long == pytest.approx((2 * 7 + OWN_PART) / 8 * 8e9 / bus)


def test_between_machines_every_gpu_adds_its_adapter() -> None:
    # 2 machines of 8 A100 with 25 GB/s each: a ring crosses by 8 adapters, 0.9 · 8 · 25 = 180 GB/s of the links' 222
    assert bus_bytes_per_second(Group(ranks=16), A100) == pytest.approx(0.9 * 8 * 25e9)
    assert bus_bytes_per_second(Group(ranks=2, stride=8), A100) == pytest.approx(0.9 * 25e9)


def test_short_messages_between_many_machines_go_by_a_tree_and_long_ones_by_a_ring() -> None:
    assert algorithm("all_reduce", 1e4, Group(ranks=1024), A100) == "tree"
    assert algorithm("all_reduce", 1e9, Group(ranks=16), A100) == "ring"


def test_a_switch_that_adds_is_used_by_more_than_four() -> None:
    hopper = fabric(find("H100 SXM5 80GB"))
    assert algorithm("all_reduce", 5e8, Group(ranks=8), hopper) == "nvls"
    assert algorithm("all_reduce", 5e8, Group(ranks=4), hopper) == "ring"
    assert algorithm("all_gather", 5e8, Group(ranks=8), hopper) == "ring"


def test_a_geforce_card_talks_through_the_host_and_a_server_card_does_not() -> None:
    assert fabric(find("GeForce RTX 4090")).kind == "host"
    assert fabric(find("L40S")).kind == "pcie"
    assert fabric(find("H100 SXM5 80GB")).kind == "nvlink"
    assert fabric(find("Instinct MI300X 192GB")).kind == "mesh"
    assert fabric(GPU).name == "unknown"


def test_two_gpus_of_a_mesh_have_one_link_and_eight_have_seven() -> None:
    mesh = fabric(find("Instinct MI300X 192GB"))
    assert mesh.within(2) == pytest.approx(64e9)
    assert mesh.within(8) == pytest.approx(448e9)


@given(kind=KINDS, size=st.floats(1.0, 1e11), ranks=st.integers(2, 8192), faster=st.floats(1.0, 10.0))
def test_more_bandwidth_is_never_slower(kind: str, size: float, ranks: int, faster: float) -> None:
    better = replace(A100, bytes_per_second=faster * A100.bytes_per_second, network=faster * A100.network)
    group = Group(ranks=ranks)
    assert seconds(kind, size, group, better) <= seconds(kind, size, group, A100) * (1 + 1e-9)  # type: ignore[arg-type]


@given(kind=KINDS, size=st.floats(1.0, 1e11), more=st.floats(1.0, 10.0), ranks=st.integers(2, 8192))
def test_more_bytes_never_take_less(kind: str, size: float, more: float, ranks: int) -> None:
    group = Group(ranks=ranks)
    assert seconds(kind, size, group, A100) <= seconds(kind, more * size, group, A100)  # type: ignore[arg-type]


@given(kind=KINDS, size=st.floats(1.0, 1e11))
def test_one_rank_has_nobody_to_talk_to(kind: str, size: float) -> None:
    assert seconds(kind, size, Group(ranks=1), A100) == 0.0  # type: ignore[arg-type]


def test_a_network_that_is_given_replaces_the_usual_one() -> None:
    given_one: Fabric = fabric(LINKED, network_bytes_per_second=1e9)
    assert given_one.network == 1e9
    assert bus_bytes_per_second(Group(ranks=16), given_one) == pytest.approx(0.9 * 8e9)
