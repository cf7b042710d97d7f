"""All that a run is between two steps: what a checkpoint holds, and what an exact resume needs."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.codec import from_plain, to_plain
from rooflight.core.errors import DataError
from rooflight.core.runs import EpochRecord
from rooflight.train.early import Patience
from rooflight.train.ema import Ema
from rooflight.train.ranks import Alone, Ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the run. It counts samples of all ranks, so workers and world size may change at a resume."""

    epoch: int = 1  # the one under way, counted from 1
    samples: int = 0  # of that epoch, trained on by all ranks together
    step: int = 0  # updates of the weights so far


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over this rank's samples of an epoch. On the device: reading one makes the host wait."""

    loss: Tensor
    weight: Tensor  # the loss's mean is loss / weight
    correct: Tensor

    @classmethod
    def zero(cls, device: torch.device) -> "Totals":
        """Before the first step. float64: 10⁸ samples are added up."""
        zero = torch.zeros((), dtype=torch.float64, device=device)
        return cls(loss=zero, weight=zero.clone(), correct=torch.zeros((), dtype=torch.int64, device=device))


@dataclass(slots=True, kw_only=True)
class TrainState:
    """The model and all that changes with a step. No generator: a step's random numbers follow from its place."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: Ema | None = None
    patience: Patience | None = None
    ranks: Ranks = field(default_factory=Alone)  # which may have parts of each tensor
    place: Place = field(default_factory=Place)
    totals: Totals = field(init=False)  # of the epoch so far, on the device
    records: list[EpochRecord] = field(default_factory=list)  # of the whole epochs

    def __post_init__(self) -> None:
        self.totals = Totals.zero(self.device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def advance(self, samples: int) -> None:
        """A step is done. samples: of all ranks together"""
        place = self.place
        self.place = replace(place, samples=place.samples + samples, step=place.step + 1)

    def next_epoch(self) -> None:
        """The epoch is done and recorded."""
        self.place = replace(self.place, epoch=self.place.epoch + 1, samples=0)
        self.totals = Totals.zero(self.device)

    @contextmanager
    def deployed(self) -> Iterator[nn.Module]:
        """The model with the weights that are evaluated and kept: the average, where there is one."""
        with self.ema.in_place() if self.ema else nullcontext():
            yield self.model

    def weights(self) -> dict[str, Tensor]:
        """The state dict that prediction and export use: with --patience the best so far, else the last.

        Whole, of all ranks' parts, on the main process; all ranks must call.
        """
        return self.ranks.gathered(self._own_weights())

    def use_weights(self) -> None:
        """From now on the model holds the weights that are kept."""
        self.model.load_state_dict(self._own_weights())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the run by name, as they are: the caller copies what it keeps. Whole as `weights`."""
        totals = {name: self.ranks.total(getattr(self.totals, name)) for name in ("loss", "weight", "correct")}
        return self.ranks.gathered(self._parts()) | {f"totals.{name}": value for name, value in totals.items()}

    def document(self) -> dict[str, Any]:
        """What is no tensor, as plain JSON."""
        return {
            "place": to_plain(self.place),
            "scaler": self.scaler.state_dict(),
            "patience": self.patience.document() if self.patience else None,
            "records": [to_plain(record) for record in self.records],
        }

    def load(self, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
        """Go on from what `tensors` and `document` gave, of a run of the same configuration.

        raises  DataError if they are of another model or optimizer
        """
        try:
            parts = _by_kind(self.ranks.parted(tensors, self._templates(tensors)))
            self.model.load_state_dict(parts["model"])
            self._load_optimizer(parts.get("optimizer", {}))
            if self.ema:
                self.ema.load(parts["ema"])
            if self.patience:
                self.patience.load(document["patience"], parts.get("best", {}))
            if document["scaler"]:
                self.scaler.load_state_dict(document["scaler"])
            # The sums so far are of all replicas: one goes on with them, and the others add to nothing.
            if not self.ranks.rank:
                sums = _by_kind(tensors)["totals"]
                self.totals = Totals(**{name: value.to(self.device) for name, value in sums.items()})
            self.place = from_plain(Place, document["place"], what="the checkpoint's place")
            self.records = [
                from_plain(EpochRecord, row, what="the checkpoint's records") for row in document["records"]
            ]
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"the checkpoint is not of this run: {reason}. Try the run's own configuration.") from None

    def _own_weights(self) -> dict[str, Tensor]:
        if self.patience and self.patience.best:
            return dict(self.patience.best)
        found = dict(self.model.state_dict())
        return found | self.ema.state() if self.ema else found

    def _parts(self) -> dict[str, Tensor]:
        """What this rank has of all tensors but the sums."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            entry = self.optimizer.state.get(parameter, {})
            found |= {f"optimizer.{name}.{key}": value for key, value in entry.items() if value is not None}
        if self.ema:
            found |= {f"ema.{name}": value for name, value in self.ema.state().items()}
        if self.patience:
            found |= {f"best.{name}": value for name, value in self.patience.best.items()}
        return found

    def _templates(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Which of a checkpoint's tensors this rank has a part of, each with one of the same form.

        The optimizer's and the best ones are not there yet: they take the form of the parameter that they belong to.
        """
        own = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.ema:
            own |= {f"ema.{name}": value for name, value in self.ema.state().items()}
        for name in tensors:
            kind, _, rest = name.partition(".")
            of = rest.rpartition(".")[0] if kind == "optimizer" else rest
            if kind in ("optimizer", "best") and f"model.{of}" in own:
                own[name] = own[f"model.{of}"]
        return own

    def _load_optimizer(self, parts: dict[str, Tensor]) -> None:
        plain = self.optimizer.state_dict()
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        order = [names[id(parameter)] for group in self.optimizer.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts.items():
            of, _, key = name.rpartition(".")
            state.setdefault(order.index(of), {})[key] = value
        # The groups, with their rates, are the configuration's: set anew, and by the step.
        self.optimizer.load_state_dict({"state": state, "param_groups": plain["param_groups"]})
        for parameter, entry in self.optimizer.state.items():
            for name, value in entry.items():
                # Fused kernels walk through both memories side by side.
                if name != "step" and value.shape == parameter.shape:
                    entry[name] = torch.empty_like(parameter).copy_(value)


def _by_kind(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """{"model": …, "optimizer": …, …}, with the rest of each name."""
    kinds: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, _, rest = name.partition(".")
        kinds.setdefault(kind, {})[rest] = value
    return kinds
