"""A model in its form: PyTorch's own wrappers on a mesh of ranks."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from rooflight.core.errors import ConfigError
from rooflight.train.parallel.graph import Pair

BLOCK = 1_000_000  # parameters from which a block is gathered alone; smaller ones come with what is around them


def replicate(model: nn.Module, group: dist.ProcessGroup, device: torch.device) -> DistributedDataParallel:
    """DDP: gradients are averaged while the backward pass goes on."""
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        process_group=group,
        gradient_as_bucket_view=True,
    )


def shard_states(model: nn.Module, mesh: DeviceMesh, *, least: int = BLOCK) -> None:
    """FSDP2, in place: ranks keep a part of each parameter, and gather a block when it is its turn.

    A block is a member of an nn.ModuleList or nn.Sequential with `least` parameters or more.
    """
    holders = [module for module in model.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    blocks = {id(block) for holder in holders for block in holder.children()}
    # Inner blocks first: an outer one then takes what is left.
    for block in reversed([module for module in model.modules() if id(module) in blocks]):
        # PyTorch takes what has a forward.
        if not isinstance(block, nn.ModuleList) and sum(p.numel() for p in block.parameters()) >= least:
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def split_products(model: nn.Module, pairs: tuple[Pair, ...], mesh: DeviceMesh) -> tuple[str, ...]:
    """Tensor parallelism, in place: the first layer of a pair by columns, the second by rows. Returns what was split.

    source  Shoeybi et al., "Megatron-LM", arXiv 1909.08053
    raises  ConfigError if no pair's features can be shared
    """
    ranks = mesh.size()
    fitting = [pair for pair in pairs if pair.features % ranks == 0]
    if not fitting:
        found = ", ".join(f"{pair.first} and {pair.second} with {pair.features} features between" for pair in pairs)
        raise ConfigError(
            f"--tensor {ranks} splits two linear layers with an activation between, and this model has "
            f"{f'only {found}, which {ranks} does not divide' if pairs else 'none'}. Try --parallel fsdp."
        )
    for pair in fitting:
        parallelize_module(model, mesh, {pair.first: ColwiseParallel(), pair.second: RowwiseParallel()})
    return tuple(f"{pair.first} by columns, {pair.second} by rows ({pair.features} features)" for pair in fitting)


def normalisation(model: nn.Module, device: torch.device) -> tuple[nn.Module, str | None]:
    """BatchNorm over all replicas' samples, where PyTorch can; and what is done, if the model has any."""
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return model, None
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model), "BatchNorm: statistics of all replicas' samples"
    return model, (
        "BatchNorm: statistics of each replica's own samples, for PyTorch shares them on GPUs only; the running ones "
        "are rank 0's. The result depends on the number of processes"
    )
