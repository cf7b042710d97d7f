"""From flags to the form of parallelism that a plan is of."""

from dataclasses import replace

from rooflight.core.errors import ConfigError
from rooflight.core.parallel import Parallel
from rooflight.core.plans import BATCH, PlanConfig
from rooflight.core.types import Workload

MOST_GPUS = 8192  # collectives and networks of more are not modelled


def form_of(config: PlanConfig) -> Parallel:
    """
    raises  ConfigError if the numbers of GPUs do not multiply, or the form is not predicted
    """
    check_gpus(config)
    whole = config.tensor * config.pipeline
    if config.gpus % whole:
        raise ConfigError(
            f"--gpus {config.gpus} does not divide by --tensor {config.tensor} × --pipeline {config.pipeline}. "
            f"Try --gpus {whole * max(1, config.gpus // whole)}."
        )
    if config.gpus == 1:
        for flag, given in (
            ("--interleave", config.interleave > 1),
            ("--sequence-parallel", config.sequence_parallel),
            ("--shard", config.shard != "none"),
            ("--shard-group", config.shard_group is not None),
        ):
            if given:
                raise ConfigError(f"{flag} is for several GPUs, and there is one. Try it with --gpus 8.")
        return Parallel()  # micro-batches of one GPU are in its trace
    return Parallel(
        data=config.gpus // whole,
        tensor=config.tensor,
        pipeline=config.pipeline,
        sharding=config.shard,
        shard_group=config.shard_group,
        micro_batches=config.accumulation,
        interleave=config.interleave,
        sequence=config.sequence_parallel,
    )


def check_gpus(config: PlanConfig) -> None:
    """
    raises  ConfigError for more GPUs than are predicted
    """
    if config.gpus > MOST_GPUS:
        raise ConfigError(f"--gpus {config.gpus:,}: up to {MOST_GPUS:,} are predicted. Try --gpus {MOST_GPUS}.")


def shared_workload(workload: Workload, form: Parallel) -> Workload:
    """The workload of one replica's micro-batch, where GPUs share the step.

    raises  ConfigError if the batch does not divide
    """
    if form.gpus == 1:
        return workload
    return replace(workload, batch=micro_batch(workload.batch, form), accumulation=1, parallel=form)


def micro_batch(batch: int, form: Parallel) -> int:
    """
    raises  ConfigError if the batch does not divide
    """
    if batch % form.micro_batches:
        raise ConfigError(
            f"--batch {batch} does not divide into --accumulation {form.micro_batches} micro-batches. Try --batch "
            f"{form.micro_batches * max(1, batch // form.micro_batches)}."
        )
    return batch // form.micro_batches


def network_of(config: PlanConfig) -> float | None:
    """Bytes per second of one GPU's part of the adapters; None: as it is sold."""
    return None if config.network_gbits is None else config.network_gbits * 1e9 / 8


def batch_of(config: PlanConfig) -> int:
    """Samples of one replica's step."""
    return config.batch or BATCH
