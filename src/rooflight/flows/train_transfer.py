"""Transfer learning in its four steps: a base, frozen; a head on its features; then, if asked, its top blocks too."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from rooflight.core.console import Advance, Console, Silent
from rooflight.core.errors import ConfigError
from rooflight.core.runs import Evaluation, TrainResult
from rooflight.core.training import TrainConfig
from rooflight.core.types import Comparison, GpuSpec
from rooflight.core.units import show_bytes, show_rate, show_seconds
from rooflight.flows.family import Family, Found, Reads, TrainData
from rooflight.flows.setting import Setting
from rooflight.flows.transfer_data import FROZEN_BATCH, Pairs, Samples

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rooflight.models.transfer.base import Head
    from rooflight.models.transfer.model import Transfer
    from rooflight.train.optimizer import Group

MEMORY_SHARE = 0.25  # of the machine's memory: features that take more lie on disk
FLOAT_BYTES = 4


def is_transfer(model: str) -> bool:
    """Is it a base with a head?"""
    return model.startswith("transfer:")


def find(config: TrainConfig, console: Console) -> Found:
    """The images or texts that the base reads."""
    from rooflight.data.labelled_text import load_texts
    from rooflight.flows.transfer_data import find_images
    from rooflight.models.transfer.base import find_base

    base = find_base(config.model)
    if config.fine_tune and config.epochs < 2:
        raise ConfigError(f"--fine-tune {config.fine_tune}: its epochs follow those of the head. Try --epochs 2.")
    if config.validation:
        raise ConfigError("--validation holds nothing out of a transfer run yet. Try --validation 0.")
    if base.pixels is None:
        texts = load_texts(config.data)
        return Found(data=texts, info=texts.info)
    images = find_images(config, config.image_size or base.pixels.crop, console)
    return Found(data=images, info=images.info)


def prepare(found: Found, config: TrainConfig, setting: Setting) -> TrainData:
    """Batches that are of features first, and of samples when fine-tuning begins."""
    from rooflight.flows.transfer_data import image_samples, preprocessing_of, text_samples
    from rooflight.models.transfer.base import find_base

    base, preprocessing, reasons = find_base(config.model), None, tuple[str, ...]()
    if base.pixels is None:
        samples = text_samples(found.data, base, config, setting)
    else:
        preprocessing = preprocessing_of(base.pixels, config.image_size)
        samples = image_samples(found.data, preprocessing, config, setting)
        if base.pixels.interpolation != "bilinear":
            reasons = (f"images resized bilinearly; {base.name} was pretrained with {base.pixels.interpolation}",)
    stages = TransferStages(config, setting, samples, len(found.info.classes))
    return TrainData(
        info=found.info,
        reads=Reads(classes=found.info.classes, preprocessing=preprocessing),
        batches=stages.phases,
        test_batches=stages.test,
        labels=lambda: samples.labels,
        bad=samples.bad,
        reasons=reasons,
        stages=stages,
    )


def build(config: TrainConfig, reads: Reads, fresh: bool) -> nn.Module:
    """Base and head as one model; the base with its pretrained weights if `fresh`."""
    from rooflight.models.transfer.base import find_base
    from rooflight.models.transfer.model import build_transfer, load_base

    size = reads.preprocessing.height if reads.preprocessing else None
    head: Head | None = None if config.head == "auto" else config.head
    model = build_transfer(config.model, len(reads.classes), head=head, size=size, fine_tune=config.fine_tune)
    if fresh:
        model.origin = load_base(find_base(config.model), model.base, config.weights)
    return model


TRANSFER = Family(find=find, prepare=prepare, build=build)


class _Test:
    """The test samples: as features while the head alone is trained."""

    def __init__(self, stages: TransferStages) -> None:
        self.stages = stages

    def __iter__(self) -> Iterator[tuple[Any, Tensor]]:
        stages = self.stages
        return iter(stages.whole_test() if stages.phases.tuning else stages.kept_test())


class TransferStages:
    """What happens around the steps, and which batches they see."""

    def __init__(self, config: TrainConfig, setting: Setting, samples: Samples, classes: int) -> None:
        from rooflight.data.features import Phases

        self.config, self.setting, self.samples, self.classes = config, setting, samples, classes
        self.head_epochs = config.epochs - config.epochs // 2 if config.fine_tune else config.epochs
        self.phases = Phases(samples.tuned, head_epochs=self.head_epochs, on_tuning=self._tuning)
        self.test = _Test(self)
        self.console: Console = Silent()
        self.found: tuple[str, ...] = ()
        self._test_features: tuple[Tensor, Tensor] | None = None  # with their labels
        self._base_seconds: list[float] = []  # of whole batches through the base

    @property
    def frozen_batch(self) -> int:
        """Samples through the base at once."""
        return FROZEN_BATCH[self.setting.device.type]

    def whole_test(self) -> Pairs:
        """The test samples as the whole model takes them."""
        return self.samples.test(self.frozen_batch)

    def kept_test(self) -> Pairs:
        """Their features."""
        from rooflight.data.features import feature_pairs

        assert self._test_features is not None
        return feature_pairs(*self._test_features, self.setting.device)

    # ------------------------------------------------------------ what `train` calls

    def begin(self, model: nn.Module, run: Path, console: Console, epoch: int = 1) -> None:
        """The base's features of every sample, once; none if the resumed epoch needs none."""
        transfer, self.console = cast("Transfer", model), console
        frozen = sum(parameter.numel() for parameter in transfer.base.parameters())
        console.say(f"1/4 base: {self.config.model}, {frozen:,} parameters; {transfer.origin}")
        if epoch <= self.head_epochs:
            self._freeze(transfer, run)
        trained = sum(parameter.numel() for parameter in transfer.head.parameters())
        console.say(f"3/4 head: {trained:,} parameters, epochs 1 to {self.head_epochs} on those features")
        if not self.config.fine_tune:
            console.say("4/4 fine-tune: not asked for; --fine-tune 1 trains the base's top block too")

    def groups(self, model: nn.Module) -> Sequence[Group]:
        """The head at --lr, the top blocks at --fine-tune-lr. Before their epochs they have no gradient, and rest."""
        from rooflight.train.optimizer import Group

        transfer = cast("Transfer", model)
        head = Group(parameters=list(transfer.head.parameters()), lr=self.config.lr)
        tuned = [parameter for module in transfer.tuned for parameter in module.parameters()]
        return [head, Group(parameters=tuned, lr=self.config.fine_tune_lr)] if tuned else [head]

    def finish(self, model: nn.Module, evaluation: Evaluation) -> tuple[Evaluation, tuple[str, ...]]:
        """The evaluation of base and head together, which must agree with that on features."""
        from rooflight.train.evaluate import evaluation_of
        from rooflight.train.frozen import check_agreement
        from rooflight.train.precision import autocast_of

        if self.phases.tuning:
            return evaluation, self.found  # it went through the whole model already
        self.console.say("base and head together on the test samples")
        device, dtype = self.setting.device, self.setting.dtype
        autocast = autocast_of(device, dtype)
        largest, scores, labels = check_agreement(
            model, self.whole_test(), self.kept_test(), dtype=dtype, autocast=autocast
        )
        whole = evaluation_of([(scores, labels)], classes=self.classes, device=device)
        self.phases.features = None
        said = f"base and head together: scores within {largest:.1e} of those on kept features"
        return whole, (*self.found, said)

    def compare(self, result: TrainResult, roof: GpuSpec) -> tuple[Comparison, ...]:
        """A batch through the frozen base; none of texts, whose lengths differ."""
        from rooflight.flows.compare import compare
        from rooflight.flows.plan_here import predict_recipe, workload_of
        from rooflight.models.recipe import Recipe
        from rooflight.models.transfer.base import find_base

        if result.preprocessing is None or not self._base_seconds:
            return ()
        shape = (3, result.preprocessing.height, result.preprocessing.width)
        asked = workload_of(result.config.model, task="infer", batch=self.frozen_batch, dtype=result.dtype)
        base = find_base(result.config.model)
        recipe = Recipe(name=base.name, build=lambda: base.build("pooled"), input_shape=shape)
        _, predicted = predict_recipe(recipe, replace(asked, input_shape=shape), roof, self.setting.device)
        name = f"a batch of {self.frozen_batch} through the frozen base"
        return (compare(name, "s", predicted.step_seconds, median(self._base_seconds)),)

    # ------------------------------------------------------------ frozen means paid once

    def _freeze(self, model: Transfer, run: Path) -> None:
        from rooflight.data.features import FeatureBatches
        from rooflight.train.frozen import inference_copy

        base, how = inference_copy(model.base)
        count, tests, views = self.phases.samples, self.samples.test_count, self.config.views
        folder = self._folder(model, count * views + tests, run)
        begin = time.perf_counter()
        with self.console.bar("2/4 frozen", count * views + tests, "samples") as advance:
            kept = [
                self._keep(base, self.samples.view(n, self.frozen_batch), count, folder, advance) for n in range(views)
            ]
            test = self._keep(base, self.whole_test(), tests, folder, advance)
        seconds = time.perf_counter() - begin
        self._test_features = test
        self.phases.features = FeatureBatches(
            self._on_device([features for features, _ in kept]),
            kept[0][1],
            batch=self.config.batch,
            seed=self.config.seed,
            device=self.setting.device,
        )
        held = sum(features.nbytes for features, _ in (*kept, test))
        several = f" in {views} views" if views > 1 else ""
        self.found = (
            f"features of {count:,} training samples{several} and {tests:,} test samples: {show_bytes(held)} "
            f"{'on disk' if folder else 'in memory'}, in {show_seconds(seconds)} "
            f"({show_rate((count * views + tests) / seconds)}); batches of {self.frozen_batch}, {how}",
        )
        self.console.say(f"2/4 frozen: {self.found[0]}")

    def _keep(
        self, base: nn.Module, pairs: Pairs, count: int, folder: Path | None, advance: Advance
    ) -> tuple[Tensor, Tensor]:
        import torch

        from rooflight.data.features import keep_features
        from rooflight.train.frozen import features_of
        from rooflight.train.precision import autocast_of

        labels: list[Tensor] = []

        def inputs() -> Iterator[Any]:
            for some, of in pairs:
                labels.append(of.cpu())
                yield some

        def done(samples: int, seconds: float) -> None:
            advance(samples)
            if samples == self.frozen_batch:
                self._base_seconds.append(seconds)

        autocast = autocast_of(self.setting.device, self.setting.dtype)
        features = keep_features(features_of(base, inputs(), autocast, done), count, folder=folder)
        return features, torch.cat(labels)

    def _folder(self, model: Transfer, count: int, run: Path) -> Path | None:
        """None for memory; where they would take too much of it, a folder on the disk that the run is kept on."""
        from torch import nn

        dense = next(layer for layer in model.head.modules() if isinstance(layer, nn.Linear))
        one = dense.in_features * FLOAT_BYTES
        if one * count <= self.setting.machine.cpu.memory_bytes * MEMORY_SHARE:
            return None
        return next(folder for folder in run.absolute().parents if folder.is_dir())

    def _on_device(self, views: list[Tensor]) -> list[Tensor]:
        """On the GPU, where they take less than a quarter of what is free there."""
        import torch

        device = self.setting.device
        if device.type != "cuda" or sum(view.nbytes for view in views) > torch.cuda.mem_get_info(device)[0] / 4:
            return views
        return [view.to(device) for view in views]

    def _tuning(self) -> None:
        self.console.say(
            f"4/4 fine-tune: the top {self.config.fine_tune} blocks of the base too, "
            f"at {self.config.fine_tune_lr:g}, epochs {self.head_epochs + 1} to {self.config.epochs}"
        )
