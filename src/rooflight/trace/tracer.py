"""One step of a model, run on tensors that have shapes and no memory, and written down as a Trace."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeCopyMode, FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException as DataDependent

from rooflight.core.errors import ConfigError, TraceError, nearest
from rooflight.core.types import Lifetime, Op, Trace, Workload
from rooflight.trace.recorder import Recorder

Loss = Callable[[Any, Any], Tensor]

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, lr=0.1, fused=True),
    "sgd-momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, fused=True),
}


def images(workload: Workload) -> Tensor:
    """A batch of float32 inputs, channels last if the workload is: (N, C, H, W)."""
    batch = torch.empty(workload.batch, *workload.input_shape)
    last = workload.channels_last and batch.dim() == 4
    return batch.contiguous(memory_format=torch.channels_last) if last else batch


def tokens(workload: Workload) -> Tensor:
    """A batch of int64 token ids, (N, T)."""
    return torch.zeros(workload.batch, *workload.input_shape, dtype=torch.int64)


def class_indices(scores: Tensor) -> Tensor:
    """The int64 targets that cross entropy wants beside (N, K, …) scores: (N, …)."""
    return torch.zeros(scores.shape[0], *scores.shape[2:], dtype=torch.int64)


def trace(
    model: nn.Module | Callable[[], nn.Module],
    workload: Workload,
    *,
    loss: Loss = F.cross_entropy,
    make_input: Callable[[Workload], Tensor] = images,
    make_target: Callable[[Any], Any] = class_indices,
) -> Trace:
    """What one step of the model asks of any device. No memory is touched: a batch of a million costs no more than one.

    model        a module, which is left as it was, or a function that builds one (then its weights need no memory)
    workload     task "train": forward, loss, backward and optimizer step; "infer": forward without gradients
    loss         (model output, target) → scalar
    make_input   workload → one batch
    make_target  model output → target
    returns      the second step, so that the optimizer's state is there; gradients are None between steps. Buffers
                 count as parameters in the lifetimes; `parameters` and `parameter_bytes` count what is trained or could be
    raises       ConfigError for a dtype or optimizer that is not known; TraceError if the model depends on its input's
                 values or does not fit the shapes
    """
    _check(workload)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with _no_collection(), torch.random.fork_rng(devices=[]):
            fake = _fake(model, workload, mode)
            with mode:
                recorder = _record(fake, workload, loss, make_input, make_target)
                lifetimes = recorder.lifetimes()
    except (DataDependent, DynamicOutputShapeException) as error:
        raise TraceError(
            f"{workload.model} cannot be traced: it asks for the value of a tensor ({error.func}), and a trace has "
            "shapes only. Try a model whose path does not depend on values."
        ) from error
    except (RuntimeError, TypeError, IndexError) as error:
        raise TraceError(
            f"{workload.model} does not run on input {workload.input_shape} at batch {workload.batch}: {error}. "
            "Try the input shape that the model was made for."
        ) from error
    return _trace(fake, workload, tuple(recorder.ops), lifetimes)


def _trace(model: nn.Module, workload: Workload, ops: tuple[Op, ...], lifetimes: tuple[Lifetime, ...]) -> Trace:
    parameters = list(model.parameters())
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
    if workload.dtype not in DTYPES:
        raise ConfigError(f"no trace in {workload.dtype!r}.{nearest(workload.dtype, DTYPES)}")
    if workload.task == "train" and workload.optimizer not in OPTIMIZERS:
        asked = workload.optimizer or "none"
        raise ConfigError(f"training needs an optimizer, asked was {asked!r}.{nearest(asked, OPTIMIZERS)}")
    if workload.batch < 1:
        raise ConfigError(f"a batch of {workload.batch} holds nothing. Try --batch 1 or more.")


def _fake(model: nn.Module | Callable[[], nn.Module], workload: Workload, mode: FakeTensorMode) -> nn.Module:
    """The model with weights that have no memory, in the layout and the mode that the workload asks for."""
    if isinstance(model, nn.Module):
        import copy

        with FakeCopyMode(mode):
            fake = copy.deepcopy(model)
    else:
        with mode:
            fake = model()
    with mode:
        for parameter in fake.parameters() if workload.channels_last else ():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return fake.train(workload.task == "train")


def _record(
    model: nn.Module, workload: Workload, loss: Loss, make_input: Callable[[Workload], Tensor], make_target: Any
) -> Recorder:
    """Run the step twice and record the second."""
    recorder = Recorder()
    x = make_input(workload)
    if workload.task == "infer":
        for watching in (contextlib.nullcontext(), recorder):
            recorder.follow([*model.parameters(), *model.buffers()], "parameter")
            recorder.follow([x], "input")
            with watching, torch.no_grad(), _autocast(workload):
                model(x)
        return recorder
    optimizer = OPTIMIZERS[workload.optimizer or ""](list(model.parameters()))
    with torch.no_grad(), _autocast(workload):
        target = make_target(model(x))
    _train_step(model, optimizer, x, target, workload, loss, Recorder())
    recorder.follow([*model.parameters(), *model.buffers()], "parameter")
    recorder.follow(_state(optimizer), "optimizer_state")
    recorder.follow([x, target], "input")
    with recorder:
        _train_step(model, optimizer, x, target, workload, loss, recorder)
    return recorder


def _train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    target: Any,
    workload: Workload,
    loss: Loss,
    recorder: Recorder,
) -> None:
    recorder.phase = "forward"
    with _autocast(workload):
        value = loss(model(x), target)
    recorder.phase = "backward"
    value.backward()
    recorder.follow((p.grad for p in model.parameters() if p.grad is not None), "gradient")
    recorder.phase = "optimizer"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def _autocast(workload: Workload) -> torch.autocast:
    dtype = DTYPES[workload.dtype]
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection meanwhile: it would end lifetimes at a moment that differs from run to run."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
