"""From a model, batches and a TrainConfig to trained weights and their record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

import torch
from torch import Tensor, nn

from rooflight.core.live import Pace
from rooflight.core.runs import EpochRecord, Evaluation
from rooflight.core.training import TrainConfig
from rooflight.train.clock import Clock
from rooflight.train.early import Patience
from rooflight.train.ema import Ema
from rooflight.train.evaluate import evaluate
from rooflight.train.graphed import Graphed
from rooflight.train.guard import Guard
from rooflight.train.loop import EpochBatches, train_epochs
from rooflight.train.loss import CrossEntropy, Loss, held_out_loss
from rooflight.train.optimizer import Group, build_optimizer, rate_share
from rooflight.train.precision import autocast_of, scaler_of
from rooflight.train.ranks import Alone, Autocast, Ranks
from rooflight.train.state import Place, TrainState
from rooflight.train.step import Done, Step

Pairs = Iterable[tuple[Any, Tensor]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What is called while a run goes on."""

    on_step: Callable[[Place, int, Done], None] = lambda before, samples, done: None  # after a step is issued
    on_epoch: Callable[[EpochRecord], None] = lambda record: None  # the state is at the next epoch's beginning
    on_save: Callable[[TrainState], None] = lambda state: None  # every config.checkpoint_every steps, and after epochs
    on_halved: Callable[[int], None] = lambda micro_batch: None  # memory did not suffice
    pace: Callable[[], Pace] = Pace  # asked after an epoch's last step is done: how fast its steps were


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a call of `fit` measured."""

    records: tuple[EpochRecord, ...]
    evaluation: Evaluation  # of the weights that are kept
    steps: int
    step_seconds: float  # median over the epochs; the first is left out where there are others
    samples_per_second: float
    first_step_seconds: float
    micro_batch: int | None  # samples at once, where memory asked for fewer than the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Samples that are not trained on."""

    test: Pairs
    validation: Pairs | None = None  # of the training set, for --patience


def fit(
    model: nn.Module,
    batches: EpochBatches,
    test_batches: Pairs,
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    classes: int,
    loss: Loss | None = None,
    validation: Pairs | None = None,
    groups: Sequence[Group] | None = None,
    ranks: Ranks | None = None,
    resume: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None = None,
    hooks: Hooks = Hooks(),
) -> Fit:
    """Train a prepared model and measure it.

    dtype       of the matrix products; float32 switches autocast off. Weights and optimizer state stay float32
    loss        default: cross entropy, as the configuration has it
    validation  held-out training samples, for --patience
    groups      parameters with their learning rates; default: all that are trained, with config.lr
    resume      tensors and document of a state to go on from
    raises      ConfigError if the loss is no longer a number or jumps, ResourceError if not one sample fits
    """
    graphs = config.compile == "graphs"
    if config.compile == "on":
        model.compile()  # in place: its state dict keeps its names
    state = build_state(model, config, dtype=dtype, groups=groups, ranks=ranks, capturable=graphs)
    if resume:
        state.load(dict(resume[0]), dict(resume[1]))
    run = _Run(
        state=state,
        batches=batches,
        held=Held(test=test_batches, validation=validation),
        config=config,
        classes=classes,
        loss=loss or CrossEntropy(smoothing=config.label_smoothing),
        autocast=autocast_of(state.device, dtype),
        hooks=hooks,
    )
    step = Step(
        loss=run.loss,
        autocast=run.autocast,
        rate_share=run.rate_share,
        ranks=state.ranks,
        seed=config.seed,
        clip=config.clip,
        micro_batch=config.micro_batch,
        on_halved=hooks.on_halved,
    )
    if not (state.patience and state.patience.over):  # a run that stopped early may be resumed before its result
        train_epochs(
            state,
            batches,
            Graphed(step) if graphs else step,
            epochs=config.epochs,
            batch=config.batch,
            on_step=run.step_done,
            on_epoch=run.epoch_done,
        )
    return run.result(step)


def build_state(
    model: nn.Module,
    config: TrainConfig,
    *,
    dtype: torch.dtype,
    groups: Sequence[Group] | None = None,
    ranks: Ranks | None = None,
    capturable: bool = False,
) -> TrainState:
    """A run before its first step. capturable: its steps will be CUDA graphs."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    device = trained[0].device
    return TrainState(
        model=model,
        optimizer=build_optimizer(groups or [Group(parameters=trained, lr=config.lr)], config, capturable=capturable),
        scaler=scaler_of(device, dtype),
        ema=Ema(model, config.ema) if config.ema else None,
        patience=Patience(epochs=config.patience) if config.patience else None,
        ranks=ranks or Alone(),
    )


@dataclass(slots=True, kw_only=True)
class _Run:
    """What happens around the steps of one run."""

    state: TrainState
    batches: EpochBatches
    held: Held
    config: TrainConfig
    classes: int  # 0: targets are no labels
    loss: Loss
    autocast: Autocast
    hooks: Hooks
    clock: Clock = field(init=False)
    guard: Guard = field(init=False)
    rate_share: Callable[[int], float] = field(init=False)
    evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        self.clock = Clock(self.state.device, before=self.state.records[-1].seconds if self.state.records else 0.0)
        self.guard = Guard(
            self.state.device, spike=self.config.spike, samples_of=self._samples_of, total=self.state.ranks.total
        )
        self.rate_share = rate_share(self.config, self.config.epochs * len(self.batches))

    def step_done(self, before: Place, samples: int, done: Done) -> None:
        self.clock.step(samples)
        self.guard.see(before, samples, done.loss, done.weight)
        self.hooks.on_step(before, samples, done)
        every, place = self.config.checkpoint_every, self.state.place
        # The step that ends an epoch is saved with the epoch's record.
        if every and place.step % every == 0 and place.samples < self.batches.samples:
            self.guard.check()  # no checkpoint of weights that are no numbers
            self.clock.pause()
            self.hooks.on_save(self.state)
            self.clock.go_on()

    def epoch_done(self) -> bool:
        """Evaluate, record, save; False if it is time to stop."""
        self.guard.check()
        totals, state = self.state.totals, self.state
        ranks = state.ranks
        train_loss = float(ranks.total(totals.loss) / ranks.total(totals.weight))  # the host waits for the device here
        correct = int(ranks.total(totals.correct))
        seconds, samples = self.clock.epoch()
        pace = self.hooks.pace()
        with state.deployed() as model:
            self.evaluation = self._evaluate(model, self.held.test)
            validation_loss = self._validate(model)
        record = EpochRecord(
            epoch=state.place.epoch,
            step=state.place.step,
            train_loss=train_loss,
            train_accuracy=correct / max(1, state.place.samples) if self.classes else None,
            test_loss=self.evaluation.loss,
            test_accuracy=self.evaluation.accuracy,
            lr=self.config.lr * self.rate_share(state.place.step),
            samples_per_second=samples / seconds if samples else 0.0,
            seconds=self.clock.elapsed(),
            validation_loss=validation_loss,
            step_seconds=pace.step_seconds,
            data_wait_share=pace.data_wait_share,
            mfu=pace.mfu,
            memory_share=pace.memory_share,
            watts=pace.watts,
        )
        state.records.append(record)
        state.next_epoch()
        self.hooks.on_save(state)
        self.hooks.on_epoch(record)
        self.clock.start_epoch()
        return state.patience is None or not state.patience.over

    def result(self, step: Step) -> Fit:
        """The whole run's figures, and the evaluation of the weights that are kept."""
        self.state.use_weights()
        if self.evaluation is None or self.state.patience:  # resumed at its end, or an earlier epoch's are the best
            self.evaluation = self._evaluate(self.state.model, self.held.test)
        rates = [record.samples_per_second for record in self.state.records if record.samples_per_second]
        # Of two the slower: their mean would be a rate that no epoch had.
        rate = median_low(rates[1:] or rates)
        return Fit(
            records=tuple(self.state.records),
            evaluation=self.evaluation,
            steps=self.state.place.step,
            step_seconds=min(self.config.batch, self.batches.samples) / rate,
            samples_per_second=rate,
            first_step_seconds=self.clock.first_step_seconds,
            micro_batch=step.micro_batch,
        )

    def _validate(self, model: nn.Module) -> float | None:
        if self.held.validation is None:
            return None
        found = self._evaluate(model, self.held.validation)
        if self.state.patience:
            self.state.patience.see(found.loss, model)
        return found.loss

    def _evaluate(self, model: nn.Module, batches: Pairs) -> Evaluation:
        return evaluate(
            model,
            batches,
            classes=self.classes,
            autocast=self.autocast,
            ranks=self.state.ranks,
            judge=held_out_loss(self.loss),
        )

    def _samples_of(self, place: Place, samples: int) -> Any:
        return self.batches.order(place.epoch)[place.samples : place.samples + samples]
