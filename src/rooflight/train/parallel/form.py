"""Which form of parallelism a run takes, from its flags and the number of its processes."""

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel, words


def pick_form(asked: str, *, tensor: int, pipeline: int, world_size: int, batch: int) -> tuple[Parallel, str]:
    """The form, and why.

    asked   auto, ddp (every replica is whole) or fsdp (replicas share parameters, gradients and optimizer state)
    raises  ConfigError for a form that these processes, or PyTorch, cannot make
    """
    inner = tensor * pipeline
    if world_size % inner:
        flags = " ".join(f"--{name} {n}" for name, n in (("tensor", tensor), ("pipeline", pipeline)) if n > 1)
        raise ConfigError(
            f"{flags} needs a multiple of {inner} processes, this run has {world_size}. Try torchrun with "
            f"{-(-world_size // inner) * inner} processes, or another --tensor or --pipeline."
        )
    data = world_size // inner
    if asked == "fsdp" and data == 1:
        raise ConfigError(
            f"--parallel fsdp shares a model among replicas, and {world_size} process{'es' * (world_size > 1)} make "
            "one replica. Try more processes: torchrun --nproc-per-node 2 -m rooflight train …"
        )
    if asked == "fsdp" and pipeline > 1:
        raise ConfigError(
            "--parallel fsdp with --pipeline would gather each stage again for every micro-batch. Try ddp."
        )
    if tensor > 1 and pipeline > 1:
        raise ConfigError(
            f"--tensor {tensor} with --pipeline {pipeline} is not built. Try one of the two with ddp or fsdp."
        )
    if asked == "ddp" and tensor > 1 and data > 1:
        raise ConfigError("--parallel ddp does not average sharded weights. Try --parallel fsdp with --tensor.")
    if data > batch:
        raise ConfigError(f"--batch {batch} is less than the {data} replicas. Try a larger --batch.")
    sharded = asked == "fsdp" or (tensor > 1 and data > 1)
    form = Parallel(data=data, tensor=tensor, pipeline=pipeline, sharding="parameters" if sharded else "none")
    return form, f"parallel {words(form)}: {_why(asked, form)}"


def _why(asked: str, form: Parallel) -> str:
    if asked != "auto" or form.data == 1:
        return "as asked"
    if form.tensor > 1:
        return "replicas of split products share their weights"
    return "every replica is whole, the simplest form"
