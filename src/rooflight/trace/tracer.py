"""One step of a model, run on tensors that have shapes and no memory, and written down as a Trace."""

import contextlib
import copy
import gc
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensorMode,
)

from rooflight.core.errors import ConfigError, TraceError, nearest
from rooflight.core.types import Lifetime, Op, Trace, Workload
from rooflight.trace.call import tensors
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
    returns      the second step, so that the optimizer's state is there; gradients are None between steps. In the
                 lifetimes buffers are parameters too; `parameters` and `parameter_bytes` do not count them
    raises       ConfigError for a dtype or optimizer that is not known; TraceError if the model depends on its input's
                 values or does not fit the shapes
    """
    _check(workload)
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            mode = _Shapes(allow_non_fake_inputs=True)
            fake = _fake(model, workload, mode)
            with mode:
                recorder = _record(fake, workload, loss, make_input, make_target)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise TraceError(
            f"{workload.model} cannot be traced: it asks for the value of a tensor ({error.func}), and a trace has "
            "shapes only. Try a model whose path does not depend on values."
        ) from error
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TraceError(
            f"{workload.model} does not run on input {workload.input_shape} at batch {workload.batch}: {reason}. "
            "Try the input shape that the model was made for."
        ) from error
    return _trace(fake, workload, tuple(recorder.ops), recorder.lifetimes())


class _Shapes(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Tensors with shapes and no memory. A copied layer stays in the same mode as the one it was copied from."""

    def __deepcopy__(self, memo: object) -> "_Shapes":
        return self


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
        with FakeCopyMode(mode):
            fake = copy.deepcopy(model)
    else:
        fake = _build(model, mode)
    with mode:
        for parameter in fake.parameters() if workload.channels_last else ():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return fake.train(workload.task == "train")


def _build(build: Callable[[], nn.Module], mode: FakeTensorMode) -> nn.Module:
    try:
        with mode:
            return build()
    except DataDependentOutputException:
        # Its constructor looks at values (trunc_normal_ does): build it with memory for its weights, then forget them.
        with FakeCopyMode(mode):
            return copy.deepcopy(build())


def _record(
    model: nn.Module,
    workload: Workload,
    loss: Loss,
    make_input: Callable[[Workload], Tensor],
    make_target: Callable[[Any], Any],
) -> Recorder:
    """Run the step once so that everything that stays is there, then once more and record it."""
    recorder = Recorder()
    x = make_input(workload)
    with torch.no_grad(), _autocast(workload):
        target = make_target(model(x)) if workload.task == "train" else None
    if workload.task == "train":
        optimizer = OPTIMIZERS[workload.optimizer or ""](model.parameters())
        step = partial(_train_step, model, optimizer, x, target, workload, loss)
        step(Recorder())
        recorder.follow(_state(optimizer), "optimizer_state")
    else:
        step = partial(_infer_step, model, x, workload)
        step(Recorder())
    recorder.follow([*model.parameters(), *model.buffers()], "parameter")
    recorder.follow(tensors([x, target]), "input")
    with recorder:
        step(recorder)
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
    torch.autograd.backward(value)
    recorder.follow([p.grad for p in model.parameters() if p.grad is not None], "gradient")
    recorder.phase = "optimizer"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _infer_step(model: nn.Module, x: Tensor, workload: Workload, recorder: Recorder) -> None:
    recorder.phase = "forward"
    with torch.no_grad(), _autocast(workload):
        model(x)


def _state(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def _autocast(workload: Workload) -> torch.autocast:
    dtype = DTYPES[workload.dtype]
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No garbage collection, which would end lifetimes at a moment that differs from run to run, and no fused encoder
    layer, which would hide its operators behind one name."""
    was_enabled, was_fused = gc.isenabled(), torch.backends.mha.get_fastpath_enabled()
    gc.disable()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            # Copying a layer asks for its address; without memory there is none, and torch warns and clones it.
            warnings.filterwarnings("ignore", message="Accessing the data pointer of FakeTensor")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fused)
        if was_enabled:
            gc.enable()
