"""The ranks of a run, as a step sees them: sums, agreement, and a model in its form."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, overload

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.utils import _pytree as pytree

from rooflight.core.errors import PeerError
from rooflight.train.memory import is_out_of_memory, release
from rooflight.train.optimizer import by_mesh
from rooflight.train.parallel.carry import Values, carried, carry_model, on_meta, part, whole
from rooflight.train.parallel.graph import Pair, cut, linear_pairs
from rooflight.train.parallel.pipeline import InAutocast, Pipeline
from rooflight.train.parallel.world import World, is_connection_error
from rooflight.train.parallel.wrap import normalisation, replicate, shard_states, split_products
from rooflight.train.ranks import Autocast, Measure, Part
from rooflight.train.state import TrainState


class Together:
    """Many processes, one model."""

    def __init__(self, world: World, *, reasons: tuple[str, ...] = ()) -> None:
        """reasons: why this form; what it did to the model is added."""
        self.world, self.form = world, world.form
        self.world_size, self.is_main = world.launch.world_size, world.launch.is_main
        self.reasons = reasons
        self._ddp: DistributedDataParallel | None = None
        self._pipeline: Pipeline | None = None
        self._pairs: tuple[Pair, ...] = ()
        self._blueprint: nn.Module
        self._parameters: dict[str, nn.Parameter]

    @property
    def rank(self) -> int:
        """Which replica: the ranks of one replica see the same samples and draw the same random numbers."""
        return int(self.world.mesh.get_local_rank("data"))

    @property
    def replicas(self) -> int:
        return self.form.data

    @property
    def stages(self) -> int:
        return self.form.pipeline

    def parts(self, rows: int, micro_batch: int | None) -> int:
        least = self._pipeline.parts(rows) if self._pipeline else 1
        return max(least, -(-rows // micro_batch) if micro_batch else 1)

    def wrap(self, model: nn.Module, example: Tensor) -> nn.Module:
        """The model in its form; parameters keep their names. What was done is in `reasons`.

        example  inputs of any number of samples, for shapes
        raises   ConfigError for a model that the form does not take
        """
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)  # whatever a builder drew, all begin with rank 0's
        model, said = normalisation(model, self.world.device)
        reasons = [said] if said else []
        if self.form.pipeline > 1:
            stages = cut(model, example, self.form.pipeline)
            model = stages[self._stage]
            sizes = ", ".join(f"{sum(p.numel() for p in stage.parameters()):,}" for stage in stages)
            reasons.append(f"pipeline: {len(stages)} stages of {sizes} parameters, cut at equal shares of the FLOPs")
        if self.form.tensor > 1:
            self._pairs = linear_pairs(model)
        self._blueprint = on_meta(model)
        split = self._form(model)
        if split:
            reasons.append(f"tensor: split {'; '.join(split)}; all else is whole on each rank")
        self.reasons += tuple(reasons)
        return model

    def backward(self, model: nn.Module, parts: Sequence[Part], measure: Measure, autocast: Autocast) -> None:
        """Gradients of all micro-batches, averaged over the replicas."""
        if self._pipeline:
            self._pipeline.backward(parts, measure, autocast)
            return
        for number, (inputs, targets) in enumerate(parts, 1):
            last = number == len(parts)
            with nullcontext() if last else self._no_sync():
                if not len(targets):  # all ranks take part in every micro-batch: with a sample that does not count
                    inputs = pytree.tree_map(lambda tensor: tensor.new_zeros((1, *tensor.shape[1:])), inputs)
                with autocast():
                    loss = measure((self._ddp or model)(inputs)[: len(targets)], targets)
                loss.backward()

    def forward(self, model: nn.Module, inputs: Any) -> Any:
        """The outputs for inputs of this replica, without gradients."""
        if self._pipeline:
            return self._pipeline.forward(inputs)
        outputs = model(inputs)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # as a backward pass would: whoever reads the parameters next finds parts
        return outputs

    def share(self, tensor: Tensor) -> Tensor:
        """The samples of a batch that are this replica's."""
        return tensor[self.rank :: self.replicas]

    @overload
    def total(self, value: Tensor) -> Tensor: ...
    @overload
    def total(self, value: int) -> int: ...
    def total(self, value: Tensor | int) -> Tensor | int:
        """The sum over the replicas."""
        if isinstance(value, int):
            return self.world.sum(value) // (self.form.tensor * self.form.pipeline)
        value = value.clone()
        dist.all_reduce(value, group=self.world.mesh.get_group("data"))
        return value

    def last_stage(self, value: Tensor) -> Tensor:
        """A sum that the last stage of a pipeline has, and the others hold as 0: on all of them."""
        if self._pipeline:
            dist.all_reduce(value, group=self._pipeline.group)
        return value

    def agree(self, failed: bool) -> bool:
        """Has any rank failed? Then the connections of all are closed, and `begin_again` opens new ones.

        raises  PeerError if a rank does not answer
        """
        if failed:
            # Before the others are asked: they may be waiting in a collective for what will not come.
            self.world.announce()
            self.world.disconnect()
        any_failed = self.world.sum(int(failed)) > 0
        if any_failed and not failed:
            self.world.disconnect()
        return any_failed

    def is_failure(self, error: Exception) -> bool:
        """Is the step to be begun again: out of memory here, or a collective that another rank's failure broke?

        raises  PeerError if a peer is gone
        """
        if is_out_of_memory(error):
            return True
        if not is_connection_error(error):
            return False
        if self.world.announced():
            return True
        raise PeerError(self.world.who_is_gone()) from None

    def begin_again(self, state: TrainState) -> None:
        """After a failure: new connections, and the model, optimizer and average on them with their values."""
        self._ddp = self._pipeline = None
        release(self.world.device)
        self.world.connect()
        # A step that stopped half-way left whole tensors in the model's places: the parts are what was noted.
        old, parts, model = state.model, self._parameters, on_meta(self._blueprint)
        self._form(model, values=(parts, dict(old.named_buffers())))
        new = self._parameters
        moved = {id(parameter): new[name] for name, parameter in parts.items()}
        for group in state.optimizer.param_groups:
            group["params"] = [moved[id(parameter)] for parameter in group["params"]]
        kept = {moved[id(parameter)]: entry for parameter, entry in state.optimizer.state.items()}
        state.optimizer.state.clear()
        for parameter, entry in kept.items():
            state.optimizer.state[parameter] = {key: _moved(value, parameter) for key, value in entry.items()}
        if state.ema:
            state.ema.weights = {name: new[name] for name in state.ema.weights}
            state.ema.average = {name: carried(value, new[name]) for name, value in state.ema.average.items()}
        if state.patience:
            best = state.patience.best
            state.patience.best = {
                name: carried(value, new[name]) if name in new else value for name, value in best.items()
            }
        model.train(old.training)
        state.model = model

    def clip(self, parameters: Iterable[nn.Parameter], norm: float) -> None:
        """Scale the gradient down to this norm, that of all ranks' parts together."""
        groups = by_mesh(parameter for parameter in parameters if parameter.grad is not None)
        squares = torch.zeros((), device=self.world.device)
        for group in groups:
            own = torch.nn.utils.get_total_norm([p.grad for p in group if p.grad is not None], foreach=True)
            squares += whole(own) ** 2
        total = self.last_stage(squares).sqrt()
        for group in groups:
            torch.nn.utils.clip_grads_with_norm_(group, norm, total, foreach=True)

    def agree_on_overflow(self, scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> None:
        """float16 found a gradient too large on one stage: then all leave the step out."""
        if not (self._pipeline and scaler.is_enabled()):
            return
        for found in scaler._found_inf_per_device(optimizer).values():
            dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._pipeline.group)

    def gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On the main process whole tensors of all stages, named as one process names them; every rank must call."""
        found = {}
        for name, value in tensors.items():
            full = whole(value)
            if full is value:
                found[name] = value
            elif self.is_main:
                found[name] = full.cpu()  # one after another: all of a model that is kept in parts may not fit
        if not self._pipeline:
            return found
        group = self._pipeline.group
        stages: list[Any] | None = [None] * self.stages if self._stage == 0 else None
        own = {name: value.cpu() for name, value in found.items()}
        dist.gather_object(own, stages, dist.get_global_rank(group, 0), group)
        return {name: value for stage in stages or [own] for name, value in stage.items()}

    def parted(self, tensors: Mapping[str, Tensor], templates: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This rank's part of whole tensors, in the form of `templates`; what has none is not this rank's."""
        return {name: part(tensors[name], template) for name, template in templates.items()}

    @property
    def _stage(self) -> int:
        return int(self.world.mesh.get_local_rank("pipeline"))

    def _form(self, model: nn.Module, *, values: Values | None = None) -> tuple[str, ...]:
        """Put the model in its form, in place; a model without values is given some."""
        mesh, device = self.world.mesh, self.world.device
        split = split_products(model, self._pairs, mesh["tensor"]) if self.form.tensor > 1 else ()
        if self.form.sharding == "parameters":
            shard_states(model, mesh["data"])
        if values is not None:
            carry_model(*values, model)
        self._parameters = dict(model.named_parameters())
        stage = InAutocast(model) if self.form.pipeline > 1 else None
        runs: nn.Module = stage or model
        if self.form.data > 1 and self.form.sharding == "none":
            runs = self._ddp = replicate(runs, mesh.get_group("data"), device)
        if stage:
            self._pipeline = Pipeline(stage, runs, mesh.get_group("pipeline"), device)
        return split

    def _no_sync(self) -> AbstractContextManager[None]:
        # FSDP adds up the parts: whole gradients, kept until the last micro-batch, are what it was chosen to avoid.
        return self._ddp.no_sync() if self._ddp else nullcontext()


def _moved(value: Any, parameter: nn.Parameter) -> Any:
    return carried(value, parameter) if isinstance(value, Tensor) else value
