"""The processes of a run, where torchrun started several: one answer for all of them, and one that speaks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rooflight.core.console import Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.tables import Report
from rooflight.core.training import TrainConfig

if TYPE_CHECKING:
    from torch import nn

    from rooflight.flows.train import Ready
    from rooflight.train.checkpoint.read import Resumable
    from rooflight.train.loop import EpochBatches
    from rooflight.train.ranks import Ranks
    from rooflight.train.state import TrainState


@contextmanager
def open_ranks(config: TrainConfig) -> Iterator[tuple[TrainConfig, Ranks]]:
    """The configuration with this process's device, and the ranks it trains with; alone without torchrun.

    raises  ConfigError for a form that these processes cannot make; PeerError, from the body too, if one is gone
    """
    from rooflight.train.device import pick_device
    from rooflight.train.parallel.form import pick_form
    from rooflight.train.parallel.launch import find_launch
    from rooflight.train.ranks import Alone

    launch = find_launch()
    world_size = launch.world_size if launch else 1
    form, why = pick_form(
        config.parallel, tensor=config.tensor, pipeline=config.pipeline, world_size=world_size, batch=config.batch
    )
    if launch is None:
        yield config, Alone()
        return
    from rooflight.train.parallel.together import Together
    from rooflight.train.parallel.world import World

    if config.find_lr:
        raise ConfigError("--find-lr is for one process. Try it without torchrun, then --lr with what it finds.")
    device, _ = pick_device(config.device)
    if device.type == "cuda":
        device, _ = pick_device(f"cuda:{launch.local_rank}")  # a GPU for each process of this host
    if config.compile == "graphs":
        raise ConfigError(
            "--compile graphs is for one process: ranks agree on the host in every step. Try --compile on."
        )
    world = World(launch, form, device, timeout_seconds=config.peer_timeout)
    with world.watched(), warnings.catch_warnings():
        # A weight of one channel is channels last and not, and DDP remarks on it.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Compiling is not tried out: ranks that measure for themselves may choose differently.
        compile_ = "off" if config.compile == "auto" else config.compile
        yield replace(config, device=str(device), compile=compile_), Together(world, reasons=(why,))
    world.close()


def speaks(ranks: Ranks, console: Console) -> Console:
    """The console of the main process; the others say nothing."""
    return console if ranks.is_main else Silent()


def same_folder(ranks: Ranks, out: Path) -> Path:
    """The main process's run folder: a default name has the time in it."""
    from rooflight.train.parallel.together import Together

    return Path(ranks.world.tell("out", str(out))) if isinstance(ranks, Together) else out


def prints_here() -> bool:
    """Is this the process whose answer is printed?"""
    from rooflight.train.parallel.launch import find_launch

    launch = find_launch()
    return launch is None or launch.is_main


def shared(batches: EpochBatches, ranks: Ranks) -> EpochBatches:
    """This replica's share of each batch: of what makes its share itself, and of what makes all."""
    from rooflight.train.parallel.shares import Shares

    if ranks.replicas == 1 or getattr(batches, "world_size", 1) == ranks.replicas:
        return batches
    return Shares(batches, ranks)


def begun_before(ranks: Ranks, out: Path | None) -> bool:
    """Did torchrun start these processes again, after the run had begun in this folder? Then it goes on.

    raises  ConfigError without a folder to look in
    """
    from rooflight.train.parallel.together import Together

    if not isinstance(ranks, Together) or not ranks.world.launch.restarts:
        return False
    if out is None:
        raise ConfigError(
            "torchrun started the run again, and a name of its own leaves nothing to go on from. Try --out RUN."
        )
    return ranks.world.tell("begun", str((out / "config.json").is_file())) == "True"


def same_checkpoint(ranks: Ranks, found: Resumable | None) -> None:
    """Raise ConfigError if this process has read another checkpoint than the main one."""
    from rooflight.train.parallel.together import Together

    if isinstance(ranks, Together):
        step = str(found.checkpoint.step if found else None)
        told = ranks.world.tell("checkpoint", step)
        if told != step:
            raise ConfigError(
                f"rank 0 goes on from step {told}, rank {ranks.world.launch.rank} sees step {step}: hosts need a run "
                "folder that they share. Try --out on a shared file system."
            )


def take_part(ready: Ready, found: Resumable | None = None) -> Report:
    """The run of a process that is not the main one: it trains along, and gives its parts when the main one saves."""
    from rooflight.train.fit import Hooks, fit

    def give_parts(state: TrainState) -> None:
        state.weights()
        state.tensors()

    measured = fit(
        ready.model,
        ready.data.batches,
        ready.data.test_batches,
        ready.config,
        dtype=ready.setting.dtype,
        classes=len(ready.data.reads.classes),
        loss=ready.loss,
        validation=ready.data.validation,
        groups=ready.groups,
        ranks=ready.ranks,
        resume=(found.tensors, found.checkpoint.state) if found else None,
        hooks=Hooks(on_save=give_parts),
    )
    return Report(answer=measured.evaluation)


def in_form(model: nn.Module, ranks: Ranks, inputs: Any, precision: str) -> tuple[nn.Module, tuple[str, ...]]:
    """The model as the ranks share it, and what was done.

    inputs  of some samples, for shapes
    raises  ConfigError for what the form does not take
    """
    from rooflight.train.parallel.together import Together

    if not isinstance(ranks, Together):
        return model, ()
    if ranks.form.tensor > 1 and precision == "float16":
        raise ConfigError("--tensor with --dtype float16: PyTorch scales the loss of no such mixture. Try bfloat16.")
    model = ranks.wrap(model, inputs)
    return model, ranks.reasons
