"""The step itself, as a loop for training or for inference would do it, with marks for the recorder."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.errors import TraceError
from rooflight.core.types import Workload
from rooflight.trace.call import tensors
from rooflight.trace.inputs import DTYPES
from rooflight.trace.optimizers import OPTIMIZERS
from rooflight.trace.recorder import Recorder

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a prepared model."""

    model: nn.Module
    workload: Workload
    loss: Loss
    make_input: Callable[[Workload], Any]
    make_target: Callable[[Any], Any]

    def run(self, recorder: Recorder) -> None:
        """Run the step and record it. What stays from one step to the next is there before its first operator."""
        recorder.follow([*self.model.parameters(), *self.model.buffers()], "parameter")
        with recorder.paused():
            batch = self.make_input(self.workload)
        recorder.follow(_held(batch), "input")
        if self.workload.task == "train":
            self._train(batch, recorder)
        else:
            with torch.no_grad():
                self._infer(batch, recorder)

    def _train(self, batch: Any, recorder: Recorder) -> None:
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        optimizer = OPTIMIZERS[self.workload.optimizer or ""](parameters)
        for _ in range(self.workload.accumulation):
            recorder.phase = "forward"
            with _autocast(self.workload):
                value = self._loss_of(_call(self.model, batch), recorder)
            recorder.phase = "backward"
            torch.autograd.backward(value)
            del value
            recorder.follow([parameter.grad for parameter in parameters if parameter.grad is not None], "gradient")
        recorder.phase = "optimizer"
        with recorder.paused():
            optimizer.step()  # the first step makes the state
        state = [value for of_one in optimizer.state.values() for value in of_one.values()]
        recorder.follow(tensors(state), "optimizer_state")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _loss_of(self, output: Any, recorder: Recorder) -> Tensor:
        with recorder.paused(), torch.no_grad():
            target = self.make_target(output)
        recorder.follow(_held(target), "input")
        value = self.loss(output, target)
        return value / self.workload.accumulation if self.workload.accumulation > 1 else value

    def _infer(self, batch: Any, recorder: Recorder) -> None:
        with _autocast(self.workload):
            match self.workload.generation:
                case None:
                    _call(self.model, batch)
                case "prefill":
                    self._generate(batch)
                case "decode":
                    with recorder.paused():
                        cache = self._generate(batch)
                    recorder.follow(_held(cache), "kv_cache")
                    self._generate({"input_ids": batch["input_ids"][:, -1:], **cache})

    def _generate(self, batch: Any) -> dict[str, Any]:
        """One forward pass that fills a cache, which it returns by the name that the model takes it with."""
        if not isinstance(batch, dict) or "input_ids" not in batch or "decoder_input_ids" in batch:
            raise TraceError(
                f"{self.workload.model} is no language model of transformers with a decoder alone, whose "
                f"{self.workload.generation} could be traced. Try without generation."
            )
        output = self.model(**batch, use_cache=True)
        for name in ("past_key_values", "cache_params"):  # of attention, of a state-space model
            if (cache := getattr(output, name, None)) is not None:
                return {name: cache}
        raise TraceError(f"{self.workload.model} keeps no cache, so it does not generate. Try without generation.")


def _call(model: nn.Module, batch: Any) -> Any:
    if isinstance(batch, dict):
        return model(**batch)
    return model(*batch) if isinstance(batch, tuple) else model(batch)


def _held(value: Any, seen: frozenset[int] = frozenset()) -> list[Tensor]:
    """Every tensor in nested containers and in the attributes of objects, a key-value cache's for one."""
    if isinstance(value, Tensor):
        return [value]
    if id(value) in seen:
        return []  # an object that holds what holds it
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        inner = list(getattr(value, "__dict__", {}).values())
    return [tensor for item in inner for tensor in _held(item, seen | {id(value)})]


@contextlib.contextmanager
def _autocast(workload: Workload) -> Iterator[None]:
    """Autocast for the CPU, which gpu.py adds to; some models ask whether CUDA's is on and choose by it."""
    dtype = DTYPES[workload.dtype]
    enabled = dtype is not DTYPES[workload.parameter_dtype]
    was = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", enabled)
    torch.set_autocast_dtype("cuda", dtype)
    try:
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            yield
    finally:
        torch.set_autocast_enabled("cuda", was[0])
        torch.set_autocast_dtype("cuda", was[1])
