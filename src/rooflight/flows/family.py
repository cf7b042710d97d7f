"""The kinds of models that `rooflight train` knows: what each reads, and how it is built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rooflight.core.console import Console
from rooflight.core.errors import ConfigError
from rooflight.core.runs import BadSample, DataInfo, Evaluation, OwnModel, Preprocessing, TextInput, TrainResult
from rooflight.core.training import TEXT, TrainConfig
from rooflight.core.training import TRANSFER as TRANSFER_ONLY
from rooflight.core.types import Comparison, GpuSpec
from rooflight.flows.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.train.loop import EpochBatches
    from rooflight.train.loss import Loss
    from rooflight.train.optimizer import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A run's data before it is made ready: enough to say what it is, and to decide how to train."""

    data: Any  # the family's own
    info: DataInfo
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What a model takes, as it is kept with its weights."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing | None = None  # of images
    text: TextInput | None = None  # of texts
    own: OwnModel | None = None  # of a user's own model


class Stages(Protocol):
    """What a family does around the steps of a run, once the model is on its device."""

    def begin(self, model: nn.Module, run: Path, console: Console) -> None:
        """Before the first batch is asked for, at a resume too.

        run  the folder to be, which need not be there yet
        """

    def groups(self, model: nn.Module) -> Sequence[Group]:
        """The parameters that are trained, with their learning rates."""

    def finish(self, model: nn.Module, evaluation: Evaluation) -> tuple[Evaluation, tuple[str, ...]]:
        """After the last step: the evaluation of the model as it is used, and what was found."""

    def compare(self, result: TrainResult, roof: GpuSpec) -> tuple[Comparison, ...]:
        """Predicted beside measured, where a step is not the whole model's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainData:
    """What training takes."""

    info: DataInfo
    reads: Reads
    batches: EpochBatches
    test_batches: Iterable[tuple[Any, Tensor]]
    validation: Iterable[tuple[Any, Tensor]] | None = None  # held out of the training set
    labels: Callable[[], Tensor] | None = None  # int64, of the training samples, for --class-weights
    bad: Callable[[], tuple[BadSample, ...]] = tuple  # the broken files met so far
    reasons: tuple[str, ...] = ()
    loss: Loss | None = None  # of the family's own; None: cross entropy as the configuration has it
    stages: Stages | None = None  # of a family whose run is more than steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a kind of model comes to its data and its weights.

    find     the data, and ConfigError or DataError for what cannot be used, before a run folder is made
    prepare  batches on the device
    build    the model on the CPU, weights drawn from torch's seed, or loaded where the family starts from trained ones;
             `fresh` is False where a checkpoint's weights follow, so that nothing need be loaded
    """

    find: Callable[[TrainConfig, Console], Found]
    prepare: Callable[[Found, TrainConfig, Setting], TrainData]
    build: Callable[[TrainConfig, Reads, bool], nn.Module]


HANDED_OVER: ContextVar[Family | None] = ContextVar("handed_over", default=None)  # of a model made in Python


@contextmanager
def handed_over(family: Family) -> Iterator[None]:
    """A model that has no name: while the body runs, every run is of this family."""
    token = HANDED_OVER.set(family)
    try:
        yield
    finally:
        HANDED_OVER.reset(token)


def family_of(config: TrainConfig) -> Family:
    """The family of config.model; raises ConfigError for a model that is not known or cannot be trained yet."""
    from rooflight.flows.train_images import IMAGES
    from rooflight.flows.train_own import OWN
    from rooflight.flows.train_text import TEXTS
    from rooflight.flows.train_transfer import TRANSFER, is_transfer
    from rooflight.models.own import is_own
    from rooflight.models.registry import find_model

    if family := HANDED_OVER.get():
        return family
    if is_own(config.model):
        refuse_foreign(config, (*TEXT, *TRANSFER_ONLY), "lstm and transfer:MODEL")
        return OWN
    if is_transfer(config.model):
        refuse_foreign(config, TEXT, "lstm")
        return TRANSFER
    refuse_foreign(config, TRANSFER_ONLY, "transfer:MODEL")
    entry = find_model(config.model)
    if entry.untrained:
        raise ConfigError(f"--model {config.model}: {entry.untrained}. Try rooflight train cnn.")
    if entry.words is not None:
        return TEXTS
    refuse_foreign(config, TEXT, "lstm")
    return IMAGES


def refuse_foreign(config: TrainConfig, names: Iterable[str], whose: str) -> None:
    """Raise ConfigError for a setting of another kind of model: it would be ignored in silence."""
    for field in fields(config):
        if field.name in names and getattr(config, field.name) != field.default:
            flag = field.name.replace("_", "-")
            raise ConfigError(f"--{flag} is for {whose}, the model is {config.model}. Leave it out, or try {whose}.")


def build_model(config: TrainConfig, reads: Reads, *, fresh: bool) -> nn.Module:
    """The model on the CPU. fresh: its first weights, drawn from the seed; else a checkpoint's follow."""
    import torch

    torch.manual_seed(config.seed)
    return family_of(config).build(config, reads, fresh)
