"""Which GPUs are asked about, what each makes of the trace, and in which order they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError, SpecError
from rooflight.core.plans import HERE, Goal, LeftOut, PlanConfig
from rooflight.core.types import Estimate, GpuSpec, Workload
from rooflight.flows.plan_form import network_of
from rooflight.flows.plan_input import feed_of
from rooflight.flows.plan_models import Traced

if TYPE_CHECKING:
    from rooflight.estimate.setting import Setting
    from rooflight.estimate.sweep import Sweep, Swept

GIB = 2**30
AUTO_DTYPES = ("bfloat16", "float16", "float32")


def named(config: PlanConfig) -> tuple[GpuSpec, ...]:
    """The entries of --gpu, without this machine. Raises SpecError for one that is unknown, with the nearest names."""
    from rooflight.catalogue.find import find

    specs = {spec.name: spec for spec in (find(name) for name in config.gpu if name != HERE)}
    return tuple(specs.values())


def pick_dtype(config: PlanConfig, specs: tuple[GpuSpec, ...]) -> tuple[str, str]:
    """The dtype of the products for GPUs of the catalogue, and why.

    specs   those that were named; (): all
    raises  SpecError if one that was named lacks the dtype that was asked for
    """
    if config.dtype == "auto":
        for dtype in AUTO_DTYPES:
            if all(dtype in spec.flops_per_second for spec in specs):
                return dtype, "of bfloat16, float16 and float32 the first that all have"
    for spec in specs:
        if config.dtype not in spec.flops_per_second:
            known = ", ".join(sorted(set(AUTO_DTYPES) & spec.flops_per_second.keys()))
            raise SpecError(
                f"{spec.name} does not compute in {config.dtype}; it does in {known}. Try --dtype with one."
            )
    return config.dtype, "as asked"


def chosen(config: PlanConfig, dtype: str) -> tuple[tuple[GpuSpec, ...], list[LeftOut]]:
    """The catalogue's entries that the flags leave, and the others with the first reason that they fail by.

    raises  ConfigError for a form factor that no entry has
    """
    from rooflight.catalogue.load import catalogue

    known = sorted({spec.form_factor for spec in catalogue() if spec.form_factor})
    if config.form_factor is not None and config.form_factor.lower() not in map(str.lower, known):
        raise ConfigError(f"--form-factor {config.form_factor}: the catalogue has {', '.join(known)}.")
    kept: list[GpuSpec] = []
    reasons: dict[str, list[str]] = {}
    for spec in catalogue():
        for reason, fails in _filters(config, dtype):
            if fails(spec):
                reasons.setdefault(reason, []).append(spec.name)
                break
        else:
            kept.append(spec)
    return tuple(kept), [LeftOut(reason=reason, gpus=tuple(names)) for reason, names in reasons.items()]


def limits(config: PlanConfig) -> tuple[str, ...]:
    """The settings that narrow the catalogue down by what a GPU is or costs, as far as they were given."""
    every = ("max_usd_per_hour", "max_price_usd", "max_watts", "min_memory_gib", "form_factor", "vendor")
    return tuple(name for name in every if getattr(config, name) is not None)


def filtered(config: PlanConfig) -> bool:
    """Was the catalogue narrowed down?"""
    return bool(limits(config))


def _filters(config: PlanConfig, dtype: str) -> list[tuple[str, Callable[[GpuSpec], bool]]]:
    """(reason, does it fail) of each flag that was given. What is not known meets no limit."""
    found: list[tuple[str, Callable[[GpuSpec], bool]]] = [
        (f"no {dtype}", lambda spec: dtype not in spec.flops_per_second),
        ("no published clock or units", lambda spec: spec.clock_hz is None or spec.units is None),
    ]
    if config.vendor is not None:
        found.append((f"not of {config.vendor}", lambda spec: spec.vendor != config.vendor))
    if (form := config.form_factor) is not None:
        found.append((f"not {form}", lambda spec: (spec.form_factor or "").lower() != form.lower()))
    if (least := config.min_memory_gib) is not None:
        found.append((f"less than {least:g} GiB", lambda spec: spec.memory_bytes < least * GIB))
    if (watts := config.max_watts) is not None:
        found.append((f"over {watts:g} W, or not known", lambda spec: spec.tdp_watts is None or spec.tdp_watts > watts))
    if (usd := config.max_price_usd) is not None:
        found.append((f"over {usd:g} USD, or not known", lambda spec: spec.launch_usd is None or spec.launch_usd > usd))
    return found


def sweep_of(traced: Traced, config: PlanConfig, console: Console | None = None) -> Sweep:
    """The trace, ready to be asked about GPU after GPU, with the offers of today's table."""
    from rooflight.catalogue.prices import offers_and_note
    from rooflight.core.errors import TraceError
    from rooflight.estimate.batches import growth
    from rooflight.estimate.sweep import Sweep, by_gpu

    workload = traced.whole.workload
    offers, note = offers_and_note()
    if note and console:
        console.say(note)
    try:
        grown = None if traced.other is None else growth(traced.whole, traced.other)
    except TraceError:
        grown = None  # its operators change with the batch: the largest that fits is not known
    return Sweep(
        trace=traced.whole,
        setting=setting_of(workload),
        grown=grown,
        form=workload.parallel,
        network=network_of(config),
        offers=by_gpu(offers),
        usd_per_kwh=config.usd_per_kwh,
        feed=feed_of(config, workload),
    )


def setting_of(workload: Workload) -> Setting:
    """The switches of the software that the workload is run with."""
    from rooflight.estimate.setting import Setting

    return Setting(
        channels_last=workload.channels_last,
        compiled=workload.compiled,
        graphed=workload.graphed,
        tf32="all" if workload.dtype == "tfloat32" else "convolutions",
    )


def affordable(found: Iterable[Swept], most: float | None) -> tuple[list[Swept], list[LeftOut]]:
    """Those whose hour costs at most so much; a price that is not known is no price below it."""
    if most is None:
        return list(found), []
    kept, names, prices = [], [], []
    for swept in found:
        price = swept.estimate.usd_per_hour
        prices += [] if price is None else [price]
        if price is not None and price <= most:
            kept.append(swept)
        else:
            names.append(swept.spec.name)
    least = f" (the cheapest is {min(prices):.2f})" if prices and not kept else ""
    return kept, [LeftOut(reason=f"over {most:g} USD/h{least}, or not known", gpus=tuple(names))] if names else []


def ranked(estimates: Iterable[Estimate], goal: Goal) -> tuple[Estimate, ...]:
    """Those that fit first; then by the goal, the unknown last; then the faster."""

    def key(row: Estimate) -> tuple[bool, bool, float, float]:
        wanted = {
            "fastest": -row.samples_per_second,
            "cheapest": row.usd_per_million_samples,
            "greenest": row.joules_per_sample,
        }[goal]
        return (not row.fits, wanted is None, wanted or 0.0, -row.samples_per_second)

    return tuple(sorted(estimates, key=key))
