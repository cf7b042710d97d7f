"""One step of a model, run on tensors that have shapes and no memory, and written down as a Trace."""

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from rooflight.core.errors import ConfigError, TraceError, nearest
from rooflight.core.types import Lifetime, Trace, Workload
from rooflight.trace.gpu import CudaOperators
from rooflight.trace.inputs import DTYPES, class_indices, images
from rooflight.trace.onednn import scratch_bytes
from rooflight.trace.optimizers import OPTIMIZERS
from rooflight.trace.prepare import prepare
from rooflight.trace.recorder import Recorder
from rooflight.trace.shapes import Shapes, without_memory
from rooflight.trace.step import Loss, Step


def trace(
    model: nn.Module | Callable[[], nn.Module],
    workload: Workload,
    *,
    loss: Loss = F.cross_entropy,
    make_input: Callable[[Workload], Any] = images,
    make_target: Callable[[Any], Any] = class_indices,
    device: Literal["cuda", "cpu"] = "cuda",
) -> Trace:
    """What one step of the model asks of any device. No memory is touched: a batch of a million costs no more than one.

    model        a module, which is left as it was, or a function that builds one (then its weights need no memory)
    workload     task "train": forward, loss, backward and optimizer step; "infer": forward without gradients
    loss         (model output, target) → scalar
    make_input   workload → one batch: a tensor, a tuple of arguments or a dict of named ones
    make_target  model output → target
    device       whose operators: those that PyTorch runs on a CUDA GPU, or on a CPU
    returns      a step that is not the first, so the optimizer's state is there; gradients are None between steps. In
                 the lifetimes buffers are parameters too; `parameters` and `parameter_bytes` do not count them
    raises       ConfigError for a dtype or optimizer that is not known; TraceError if the model depends on its input's
                 values or does not fit the shapes
    """
    _check(workload)
    recorder = Recorder(
        float32=workload.dtype if workload.dtype == "tfloat32" else "float32",
        scratch_bytes=scratch_bytes if device == "cpu" else None,
    )
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            mode = Shapes(allow_non_fake_inputs=True, allow_fallback_kernels=False)
            shapes = without_memory(model, mode, DTYPES[workload.parameter_dtype], workload.channels_last)
            if workload.task == "train" and not any(weight.requires_grad for weight in shapes.parameters()):
                raise TraceError(f"{workload.model} has no weights to train. Try --task infer.")
            with mode, CudaOperators() if device == "cuda" else contextlib.nullcontext():
                ready = prepare(shapes, workload)
                with recorder:
                    Step(ready, workload, loss, make_input, make_target).run(recorder)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise TraceError(
            f"{workload.model} cannot be traced: it asks for the value of a tensor ({error.func}), and a trace has "
            "shapes only. Try a model whose path does not depend on values."
        ) from error
    except UnsupportedOperatorException as error:
        raise TraceError(
            f"{workload.model} cannot be traced: torch has no shapes for the result of {error.func}. Try a model "
            "without this operator."
        ) from error
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TraceError(
            f"{workload.model} does not run on input {workload.input_shape} at batch {workload.batch}: {reason}. "
            "Try the input shape that the model was made for."
        ) from error
    return _trace(ready, workload, recorder)


def _trace(model: nn.Module, workload: Workload, recorder: Recorder) -> Trace:
    parameters, ops, lifetimes = list(model.parameters()), tuple(recorder.ops), recorder.lifetimes()
    return Trace(
        workload=workload,
        parameters=sum(p.numel() for p in parameters),
        parameter_bytes=sum(p.numel() * p.element_size() for p in parameters),
        flops=sum(op.flops for op in ops),
        bytes=sum(op.bytes_read + op.bytes_written for op in ops),
        peak_bytes=peak_bytes(lifetimes, len(ops)),
        ops=ops,
        lifetimes=lifetimes,
    )


def peak_bytes(lifetimes: tuple[Lifetime, ...], ops: int) -> int:
    """The most bytes alive during any of so many operators."""
    change = [0] * (ops + 1)
    for lifetime in lifetimes:
        change[lifetime.first_op] += lifetime.bytes
        change[lifetime.last_op + 1] -= lifetime.bytes
    return max(accumulate(change))


def _check(workload: Workload) -> None:
    for dtype in (workload.dtype, workload.parameter_dtype):
        if dtype not in DTYPES:
            raise ConfigError(f"no trace in {dtype!r}.{nearest(dtype, DTYPES)}")
    if workload.task == "train" and workload.optimizer not in OPTIMIZERS:
        asked = workload.optimizer or "none"
        raise ConfigError(f"training needs an optimizer, asked was {asked!r}.{nearest(asked, OPTIMIZERS)}")
    if workload.batch < 1:
        raise ConfigError(f"a batch of {workload.batch} holds nothing. Try --batch 1 or more.")
    if workload.accumulation < 1 or workload.batch % workload.accumulation:
        raise ConfigError(
            f"a batch of {workload.batch} does not divide into {workload.accumulation} equal micro-batches. "
            "Try a multiple."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No garbage collection, which would end lifetimes at a moment that differs from run to run, and no fused encoder
    layer, which would hide its operators behind one name."""
    was_enabled, was_fused = gc.isenabled(), torch.backends.mha.get_fastpath_enabled()
    log = logging.getLogger("torch._subclasses.fake_tensor")  # it prints a traceback; the error says the same
    was_disabled, log.disabled = log.disabled, True
    gc.disable()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            # Copying a layer asks for its address; without memory there is none, and torch warns and clones it.
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            # What a library will rename in its next version is no news to who plans a model of it.
            warnings.filterwarnings("ignore", category=FutureWarning)
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)
        log.disabled = was_disabled
        if was_enabled:
            gc.enable()
