"""A profile in sentences: where a step goes, and what to change."""

from __future__ import annotations

from collections.abc import Sequence

from rooflight.core.profiles import Change, Limit, OperatorShare, StepProfile
from rooflight.core.units import show_seconds
from rooflight.flows.profile_changes import WORTH

WORTH_SAYING = 0.05  # a smaller share of a step is not told of
NAMED = 4  # operator classes
CACHED = 1.02  # above, an operator is faster than the memory: its tensors were in a cache


def limit_of(data_seconds: float, launch_seconds: float, operators: Sequence[OperatorShare]) -> Limit:
    """What most of the time goes to. Operators that the roof does not know count as bound by memory, as most are."""
    compute = sum(part.seconds for part in operators if part.bound_by == "compute")
    memory = sum(part.seconds for part in operators if part.bound_by != "compute")
    parts: dict[Limit, float] = {"data": data_seconds, "launch": launch_seconds, "compute": compute, "memory": memory}
    return max(parts, key=parts.__getitem__)


def sentences(profile: StepProfile) -> tuple[str, ...]:
    """The profile for people; the changes last."""
    lines = [_whole(profile)]
    if profile.data_seconds >= WORTH_SAYING * profile.whole_seconds:
        lines.append(
            f"Waiting for data takes {_percent(profile.data_seconds / profile.whole_seconds)}: the batch is not there "
            "when the step before it has ended."
        )
    if profile.launch_seconds >= WORTH_SAYING * profile.whole_seconds:
        lines.append(
            f"In {_percent(profile.launch_seconds / profile.whole_seconds)} no operator runs: the host prepares the "
            "next one, in Python and autograd."
        )
    told = [part for part in profile.operators if part.share >= WORTH_SAYING][:NAMED]
    lines += [operator_sentence(part, profile) for part in told]
    if profile.changes:
        lines += [change_sentence(change) for change in profile.changes]
    else:
        lines.append("No setting of train is predicted to make it 5 % faster.")
    return tuple(lines)


def operator_sentence(part: OperatorShare, profile: StepProfile) -> str:
    """`convolution takes 61 % of a step and runs at 43 % of what AMD EPYC allows in float32.`"""
    takes = f"{part.name} takes {_percent(part.share)} of a step"
    if part.roof_share is None or part.bound_by is None:
        return f"{takes}; what the device allows it is not known."
    if part.bound_by == "compute":
        return f"{takes} and runs at {_percent(part.roof_share)} of what {profile.device} allows in {profile.dtype}."
    if part.roof_share > CACHED:
        return f"{takes} and is bound by memory; it runs faster than memory allows, as a cache holds its tensors."
    return f"{takes} and runs at {_percent(part.roof_share)} of what the memory of {profile.device} allows."


def change_sentence(change: Change) -> str:
    """`bfloat16 (--dtype bfloat16) would give 1.6× samples/s (predicted); tried: 1.5×.`"""
    about = f"{change.name} ({change.flags})" if change.flags else change.name
    if change.predicted_gain is None:
        told = f"{about}: the gain is not predicted"
    else:
        upto = "up to " if change.at_most else ""
        told = f"{about} would give {upto}{change.predicted_gain:.2f}× samples/s (predicted)"
    if change.measured_gain is not None:
        told += f"; tried: {change.measured_gain:.2f}×"
        told += ", so it is not worth it here" if change.measured_gain < WORTH else ""
    return f"{told}; {change.note}." if change.note else f"{told}."


def _whole(profile: StepProfile) -> str:
    whole = profile.whole_seconds
    most = {
        "data": "waits for data",
        "launch": "waits for the host to launch operators",
        "compute": "goes to arithmetic",
        "memory": "goes to memory",
    }[profile.limited_by]
    operators = sum(part.seconds for part in profile.operators)
    return (
        f"A step of {profile.batch} samples takes {show_seconds(whole)}, and most of it {most}: "
        f"{_percent(profile.data_seconds / whole)} waiting for data, {_percent(profile.launch_seconds / whole)} "
        f"launch, {_percent(operators / whole)} operators."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
