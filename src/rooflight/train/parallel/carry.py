"""Tensors from one form to another: whole for a checkpoint, in parts for a rank, and over to new connections."""

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

Module = TypeVar("Module", bound=nn.Module)
Values = tuple[Mapping[str, nn.Parameter], Mapping[str, Tensor]]  # parameters and buffers, by name


def on_meta(model: Module) -> Module:
    """A copy with shapes and no values: the blueprint from which the same form is built again."""
    tensors: dict[int, object] = {}
    for parameter in model.parameters():
        tensors[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        tensors[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, tensors)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that ranks have parts of; every rank of its mesh must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: Tensor, template: Tensor) -> Tensor:
    """This rank's part, in the form of `template`, of a tensor that every rank has all of."""
    if not isinstance(template, DTensor) or tensor.shape != template.shape:
        return tensor
    # Every rank read the same checkpoint: nothing need be sent.
    return distribute_tensor(tensor.to(template.device), template.device_mesh, template.placements, src_data_rank=None)


def carried(tensor: Tensor, template: Tensor) -> Tensor:
    """The values that this rank has of `tensor`, whose connections are gone, in the form of `template`."""
    if not isinstance(tensor, DTensor):
        return tensor
    if not isinstance(template, DTensor):
        return tensor.to_local()
    return DTensor.from_local(
        tensor.to_local(),
        template.device_mesh,
        template.placements,
        run_check=False,
        shape=tensor.shape,
        stride=tensor.stride(),
    )


def carry_model(parameters: Mapping[str, nn.Parameter], buffers: Mapping[str, Tensor], new: nn.Module) -> None:
    """Give `new`, built from the blueprint and without values, those of the model that it takes the place of."""
    templates = dict(new.named_parameters())
    state = {name: carried(value.detach(), templates[name]) for name, value in parameters.items()}
    new.load_state_dict(state, strict=False, assign=True)
    for name, buffer in buffers.items():
        owner, _, leaf = name.rpartition(".")
        new.get_submodule(owner)._buffers[leaf] = buffer
