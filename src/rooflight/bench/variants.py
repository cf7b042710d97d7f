"""Operators in variants that take turns: CPU against GPU, Tensor Cores on against off, layouts, libraries, threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from rooflight.bench.operators import Operator
from rooflight.bench.products import DTYPES
from rooflight.bench.rounds import Contestant, speedup, take_turns
from rooflight.bench.settings import cudnn_off, onednn_off, tensor_cores_for_float32, threads
from rooflight.bench.timing import summarise
from rooflight.core.roofs import OperatorRate
from rooflight.core.types import GpuSpec

CPU = torch.device("cpu")
PRODUCTS = ("convolution", "matmul", "attention", "LSTM")  # what Tensor Cores speed up
IMAGES = ("convolution", "batch norm")  # what has a layout to choose

Work = Callable[[Operator, torch.dtype], tuple[int, int]]
Bound = Literal["compute", "memory", "cache", "launch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run an operator."""

    name: str
    device: torch.device
    dtype: str = "float32"  # "tfloat32" is float32 with its products rounded
    channels_last: bool = False
    setting: Callable[[], AbstractContextManager[object]] = nullcontext
    only: tuple[str, ...] | None = None  # the operators that it changes; None: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What the device reached at best: the rates of `spec`, and its cache's bandwidth for what fits into it."""

    spec: GpuSpec
    cache_bytes: int | None = None
    cache_bytes_per_second: float | None = None


def variants(device: torch.device, dtypes: Sequence[str]) -> tuple[Variant, ...]:
    """The ways that exist on a device; the first is the reference: float32, contiguous, Tensor Cores off.

    dtypes  that the device computes natively
    """
    half = [dtype for dtype in ("bfloat16", "float16") if dtype in dtypes]
    if device.type == "cpu":
        return (
            Variant(name="float32", device=CPU),
            Variant(name="channels last", device=CPU, channels_last=True, only=IMAGES),
            *(Variant(name=dtype, device=CPU, dtype=dtype) for dtype in half),
            *(_last(Variant(name=dtype, device=CPU, dtype=dtype)) for dtype in half),
            Variant(name="oneDNN off", device=CPU, setting=onednn_off, only=("convolution", "LSTM")),
            Variant(name="1 thread", device=CPU, setting=partial(threads, 1)),
        )
    off, on = partial(tensor_cores_for_float32, False), partial(tensor_cores_for_float32, True)
    exact = Variant(name="float32", device=device, setting=off)
    rounded = Variant(name="TF32 Tensor Cores", device=device, dtype="tfloat32", setting=on, only=PRODUCTS)
    return (
        exact,
        *((rounded,) if "tfloat32" in dtypes else ()),
        *(Variant(name=dtype, device=device, dtype=dtype) for dtype in half),
        Variant(name="channels last", device=device, channels_last=True, setting=off, only=IMAGES),
        *(_last(Variant(name=dtype, device=device, dtype=dtype)) for dtype in half),
        Variant(name="cuDNN off", device=device, setting=_exact_without_cudnn, only=(*IMAGES, "LSTM")),
        Variant(name=f"CPU, {torch.get_num_threads()} threads", device=CPU),
    )


def measure_operators(
    operators: Sequence[Operator],
    every: Sequence[Variant],
    *,
    names: Mapping[str, str],
    roof: Roof,
    work: Work,
    observe: Callable[[OperatorRate], object] = lambda rate: None,
) -> tuple[tuple[OperatorRate, ...], tuple[str, ...]]:
    """Every operator in every variant, the variants of one operator taking turns; and what did not run, and why.

    every    the variants, the reference first; its device is the one that the roof is of
    names    device type → the device's name
    work     (operator, dtype) → FLOPs and bytes, each tensor moved once
    observe  is given each row as it comes
    """
    rows, notes = [], []
    for operator in operators:
        chosen, failed = _runnable(operator, every)
        notes += failed
        if every[0].name not in chosen:
            continue  # nothing to compare with; failed says why
        taken = take_turns({name: each for name, (_, each) in chosen.items()})
        for name, seconds in taken.items():
            variant, _ = chosen[name]
            here = variant.device.type == every[0].device.type
            row = _row(operator, variant, seconds, taken[every[0].name], names, roof if here else None, work)
            rows.append(row)
            observe(row)
    return tuple(rows), tuple(notes)


def _runnable(operator: Operator, every: Sequence[Variant]) -> tuple[dict[str, tuple[Variant, Contestant]], list[str]]:
    """The variants that this operator has and that run once: by name, and the reasons of the others."""
    chosen, failed = {}, []
    for variant in every:
        if variant.only is not None and operator.operator not in variant.only:
            continue
        try:
            each = contestant(operator, variant)
            with each.setting():
                each.run()
            chosen[variant.name] = variant, each
        except (RuntimeError, NotImplementedError) as error:  # no such kernel, or too little memory
            reason = str(error).partition("\n")[0].rstrip(".")
            failed.append(f"{operator.operator}, {operator.size}, {variant.name}: skipped, {reason}")
    return chosen, failed


def _row(
    operator: Operator,
    variant: Variant,
    seconds: list[float],
    reference: list[float],
    names: Mapping[str, str],
    roof: Roof | None,
    work: Work,
) -> OperatorRate:
    measured = summarise(seconds, name=f"{operator.operator}, {variant.name}", unit="s")
    flops, moved = work(operator, DTYPES[variant.dtype][0])
    # Only products run on a matrix engine, and in half precision: PyTorch computes the rest in float32.
    rate = variant.dtype if operator.operator in PRODUCTS else "float32"
    bound_by, share = place(flops, moved, rate, measured.median, roof) if roof else (None, None)
    return OperatorRate(
        operator=operator.operator,
        size=operator.size,
        variant=variant.name,
        device=names[variant.device.type],
        dtype=variant.dtype,
        measured=measured,
        speedup=speedup(reference, seconds),
        flops=flops,
        bytes=moved,
        flops_per_second=flops / measured.median,
        bytes_per_second=moved / measured.median,
        bound_by=bound_by,
        share=share,
    )


def contestant(operator: Operator, variant: Variant) -> Contestant:
    """The operator, built and fed as the variant says."""
    dtype = DTYPES[variant.dtype][0]
    module = operator.build(dtype, variant.device)
    x = operator.make_input(dtype, variant.device)
    if variant.channels_last:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def run() -> object:
        return module(x)

    return Contestant(run=run, device=variant.device, setting=variant.setting)


def place(flops: int, moved: int, dtype: str, seconds: float, roof: Roof) -> tuple[Bound | None, float | None]:
    """What bounds an operator, and the share of the roof that it reached: least time / measured time.

    Bytes that fit into the last cache are held against its bandwidth: a repeated operator finds them there.
    """
    spec = roof.spec
    if flops and dtype not in spec.flops_per_second:
        return None, None
    fits = roof.cache_bytes is not None and roof.cache_bytes_per_second is not None and moved <= roof.cache_bytes
    bandwidth = roof.cache_bytes_per_second if fits and roof.cache_bytes_per_second else spec.bytes_per_second
    parts: dict[Bound, float] = {
        "compute": flops / spec.flops_per_second[dtype] if flops else 0.0,
        "cache" if fits else "memory": moved / bandwidth,
        "launch": spec.launch_seconds or 0.0,
    }
    bound_by = max(parts, key=parts.__getitem__)
    return bound_by, parts[bound_by] / seconds


def _last(variant: Variant) -> Variant:
    return Variant(
        name=f"{variant.name}, channels last",
        device=variant.device,
        dtype=variant.dtype,
        channels_last=True,
        only=IMAGES,
    )


@contextmanager
def _exact_without_cudnn() -> Iterator[None]:
    """cuDNN off, and the exact float32 of the reference with it."""
    with tensor_cores_for_float32(False), cudnn_off():
        yield
