"""Memory over a step: by hand on a made-up trace, and on traces of a real model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflight.core.errors import TraceError
from rooflight.core.types import Lifetime, Op, Trace, Workload
from rooflight.estimate.memory import Peak, alive, max_batch, peak, timeline

WORKLOAD = Workload(model="toy", task="infer", batch=1, input_shape=(1,), dtype="float32")


def life(bytes: int, first: int, last: int, role: str = "activation") -> Lifetime:
    return Lifetime(bytes=bytes, first_op=first, last_op=last, role=role)  # type: ignore[arg-type]


def trace_of(*lifetimes: Lifetime, ops: int, batch: int = 1) -> Trace:
    names = [f"op {index}" for index in range(ops)]
    return Trace(
        workload=replace(WORKLOAD, batch=batch),
        parameters=0,
        parameter_bytes=0,
        flops=0,
        bytes=0,
        peak_bytes=0,
        ops=tuple(
            Op(name=n, kind="other", phase="forward", flops=0, bytes_read=0, bytes_written=0, dtype="float32")
            for n in names
        ),
        lifetimes=lifetimes,
    )


#           op 0    op 1    op 2    op 3
# weights     5       5       5       5
# a           20      20
# b                   30      30
# total       25      55      35      5
TOY = trace_of(life(5, 0, 3, "parameter"), life(20, 0, 1), life(30, 1, 2), ops=4)


def test_timeline_and_peak_by_hand() -> None:
    assert timeline(TOY) == (25, 55, 35, 5)
    assert peak(TOY) == Peak(bytes=55, op=1, op_name="op 1", by_role={"activation": 50, "parameter": 5})
    assert list(peak(TOY).by_role) == ["activation", "parameter"]
    assert alive(TOY, 2) == (life(5, 0, 3, "parameter"), life(30, 1, 2))


@pytest.mark.parametrize(("first", "last"), [(0, 4), (-1, 2), (3, 2)])
def test_a_lifetime_outside_the_trace(first: int, last: int) -> None:
    with pytest.raises(TraceError, match=f"from operator {first} to {last}, the trace has 4"):
        timeline(trace_of(life(1, first, last), ops=4))


def test_nothing_has_no_peak() -> None:
    with pytest.raises(TraceError, match="holds no operator"):
        peak(trace_of(ops=0))


LIFETIMES = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 9), st.integers(0, 9)).map(
        lambda t: life(t[0], min(t[1:]), max(t[1:]))
    ),
    max_size=20,
)


@given(LIFETIMES)
def test_the_timeline_is_the_sum_of_what_is_alive(lifetimes: list[Lifetime]) -> None:
    found = trace_of(*lifetimes, ops=10)
    assert timeline(found) == tuple(sum(one.bytes for one in alive(found, index)) for index in range(10))
    assert timeline(replace(found, lifetimes=tuple(reversed(lifetimes)))) == timeline(found)


def affine(batch: int) -> Trace:
    """A peak that moves: op 0 holds 100 + 2·batch, op 1 holds 5·batch."""
    return trace_of(life(100, 0, 0, "parameter"), life(2 * batch, 0, 0), life(5 * batch, 1, 1), ops=2, batch=batch)


@pytest.mark.parametrize(("memory", "batch"), [(120, 10), (121, 10), (122, 11), (1000, 200), (101, 0), (99, 0)])
def test_largest_batch_by_hand(memory: int, batch: int) -> None:
    # 120: (120 − 100) / 2 = 10 and 120 / 5 = 24; 1000: 450 and 200
    assert max_batch(affine(8), affine(32), memory) == batch
    assert batch == 0 or peak(affine(batch)).bytes <= memory
    assert peak(affine(batch + 1)).bytes > memory


def test_memory_that_does_not_grow_has_no_largest_batch() -> None:
    still = [trace_of(life(100, 0, 1), ops=2, batch=batch) for batch in (1, 2)]
    assert max_batch(*still, 100) is None
    assert max_batch(*still, 99) == 0


def test_largest_batch_of_two_different_steps() -> None:
    with pytest.raises(TraceError, match="two traces of the same step"):
        max_batch(affine(8), TOY, 100)
    with pytest.raises(TraceError, match="4 operators at batch 1, 4 at 1"):
        max_batch(TOY, TOY, 100)
