"""The operators of a profile by class, each beside the least time that the roof allows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from math import fsum
from typing import Literal

from rooflight.core.profiles import OperatorShare
from rooflight.core.types import GpuSpec, Trace

# What a profiler's name holds → the kind of operator, as a trace calls it; the first that fits. Attention comes first,
# as its projections are its own.
KINDS = (
    ("Optimizer.step", "optimizer"),
    ("attention", "attention"),
    ("conv", "convolution"),
    ("lstm", "recurrent"),
    ("gru", "recurrent"),
    ("rnn", "recurrent"),
    ("pool", "pool"),
    ("linear", "matmul"),
    ("matmul", "matmul"),
    ("mm", "matmul"),
    ("copy", "copy"),
    ("to_mkldnn", "copy"),
    ("to_dense", "copy"),
    ("contiguous", "copy"),
    ("clone", "copy"),
)


def operator_shares(
    seconds_of: Mapping[str, float], whole_seconds: float, trace: Trace, roof: GpuSpec
) -> tuple[OperatorShare, ...]:
    """The classes of a profile, the longest first.

    seconds_of     by the profiler's names
    whole_seconds  of which shares are counted
    trace          of the same step: what its classes ask of the device
    """
    from rooflight.estimate.breakdown import class_name

    spent: dict[str, float] = defaultdict(float)
    for name, seconds in seconds_of.items():
        spent[class_name(kind_of(name), f"aten.{name.partition('::')[2] or name}")] += seconds
    least = least_seconds(trace, roof)
    return tuple(
        OperatorShare(
            name=name,
            seconds=seconds,
            share=seconds / whole_seconds,
            bound_by=_bound(least.get(name)),
            roof_share=fsum(least[name].values()) / seconds if name in least else None,
        )
        for name, seconds in sorted(spent.items(), key=lambda item: -item[1])
    )


def kind_of(name: str) -> str:
    """`aten::mkldnn_linear` → "matmul"; "other" for what is no product, copy or pool."""
    if name == "aten::to":
        return "copy"
    return next((kind for word, kind in KINDS if word in name), "other")


def least_seconds(trace: Trace, roof: GpuSpec) -> dict[str, dict[str, float]]:
    """By class: the seconds of its operators' arithmetic and of their bytes, at the roof's rates."""
    from rooflight.estimate.breakdown import operator_classes
    from rooflight.estimate.roofline import op_seconds

    alone = replace(roof, launch_seconds=None)
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"compute": [], "memory": []})
    for name, op in zip(operator_classes(trace), trace.ops, strict=True):
        seconds, bound = op_seconds(op, alone)
        found[name][bound].append(seconds)
    return {name: {bound: fsum(each) for bound, each in parts.items()} for name, parts in found.items()}


def _bound(parts: Mapping[str, float] | None) -> Literal["compute", "memory"] | None:
    if parts is None:
        return None
    return "compute" if parts["compute"] >= parts["memory"] else "memory"
