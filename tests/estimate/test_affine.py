"""Traces of every batch from two: by hand, and against traces made at that batch."""

from dataclasses import replace

import pytest
from torch import nn

from rooflight.core import codec
from rooflight.core.errors import ConfigError, TraceError
from rooflight.core.types import Lifetime, Op, Trace, Workload
from rooflight.estimate.affine import TraceFamily, at_batch, family
from rooflight.trace.tracer import trace

WORKLOAD = Workload(model="linear", task="infer", batch=1, input_shape=(3,), dtype="float32")


def linear(batch: int, *, surplus: int = 0) -> Trace:
    """(batch, 3) by (3, 2) by hand: 24 bytes of weights, 12 and 8 bytes a sample."""
    read, written, flops = 24 + 12 * batch, 8 * batch + surplus, 2 * batch * 3 * 2
    product = (1, batch, 2, 3)
    first = Op(name="mm", kind="matmul", phase="forward", flops=flops, bytes_read=read, bytes_written=written,
               dtype="float32", product=product)  # fmt: skip
    second = replace(first, name="relu", kind="elementwise", flops=2 * batch, bytes_read=8 * batch, product=None,
                     inputs=((0, 8 * batch),))  # fmt: skip
    lifetimes = (
        Lifetime(bytes=24, first_op=0, last_op=1, role="parameter"),
        Lifetime(bytes=8 * batch, first_op=0, last_op=1, role="activation"),
        Lifetime(bytes=8 * batch, first_op=1, last_op=1, role="activation"),
    )
    return Trace(
        workload=replace(WORKLOAD, batch=batch),
        parameters=6,
        parameter_bytes=24,
        flops=first.flops + second.flops,
        bytes=first.bytes_read + first.bytes_written + second.bytes_read + second.bytes_written,
        peak_bytes=24 + 16 * batch,
        ops=(first, second),
        lifetimes=lifetimes,
    )


def test_every_batch_from_two() -> None:
    found = family(linear(2), linear(6), linear(3))
    assert found.not_affine == ()
    for batch in (1, 2, 3, 6, 1000):
        assert at_batch(found, batch) == linear(batch)
    assert codec.from_json(TraceFamily, codec.to_json(found)) == found


def test_what_is_not_affine_is_named() -> None:
    found = family(linear(2), linear(6), linear(4, surplus=1))
    assert found.not_affine == ("mm ×1", "relu ×1")


def test_traces_of_other_steps_make_no_family() -> None:
    one, other = linear(2), linear(4)
    with pytest.raises(TraceError, match="not of the same step"):
        family(one, replace(other, ops=other.ops[:1]), linear(3))
    with pytest.raises(TraceError, match="not of the same step"):
        family(one, replace(other, workload=replace(other.workload, dtype="bfloat16")), linear(3))
    with pytest.raises(TraceError, match="smaller batch"):
        family(other, one, linear(3))


def test_batches_that_cannot_be() -> None:
    found = family(linear(2), linear(6), linear(3))
    with pytest.raises(ConfigError, match="batch of 0"):
        at_batch(found, 0)
    workload = replace(found.base.workload, accumulation=2)
    with pytest.raises(ConfigError, match="batch of 5 does not divide into 2"):
        at_batch(replace(found, base=replace(found.base, workload=workload)), 5)


def model() -> nn.Module:
    attention = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(2), nn.Linear(36, 16), attention, nn.Flatten(),
        nn.Linear(256, 10),
    )  # fmt: skip


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("task", ["train", "infer"])
def test_a_family_gives_the_traces_that_tracing_gives(task: str, accumulation: int) -> None:
    workload = replace(
        WORKLOAD, task=task, input_shape=(3, 8, 8), dtype="bfloat16", optimizer="adamw", accumulation=accumulation
    )
    traces = {n: trace(model, replace(workload, batch=n * accumulation)) for n in (2, 3, 5, 64)}
    found = family(traces[2], traces[5], traces[3])
    assert found.not_affine == ()
    assert at_batch(found, 64 * accumulation) == traces[64]
    assert codec.from_json(TraceFamily, codec.to_json(found, indent=None)) == found
