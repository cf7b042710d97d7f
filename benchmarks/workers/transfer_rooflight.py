"""Transfer learning as Rooflight's command trains it. Variants: float32, auto (the dtype that the command picks)."""

import tempfile
import time
from pathlib import Path

import numpy as np
from transfer_task import IMAGES, arrays, started, task, whole_run

import rooflight
from rooflight.bench.contender import LEARNING_RATE
from rooflight.core.training import TrainConfig
from rooflight.flows.family import build_model, family_of
from rooflight.flows.setting import decide, resolved


def main() -> None:
    """Find the data, freeze, train the epochs, evaluate."""
    import torch

    from rooflight.core.console import Silent
    from rooflight.train.fit import fit
    from rooflight.train.layout import prepare

    torch.set_num_threads(task.threads)
    record = task.record(IMAGES)
    names = ("x_train", "y_train", "x_test", "y_test")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        np.savez(file, **dict(zip(names, arrays(), strict=True)), classes=np.array([f"class {n}" for n in range(10)]))
        config = TrainConfig(
            model="transfer:vgg16",
            data=str(file),
            weights="random",
            epochs=task.epochs,
            batch=task.batch,
            lr=LEARNING_RATE,
            schedule="constant",
            dtype=task.variant,  # type: ignore[arg-type]
            device="cpu",
        )
        family = family_of(config)
        found = family.find(config, Silent())
        setting = decide(config, found.info)
        config = resolved(config, setting)
        data = family.prepare(found, config, setting)
        model, _ = prepare(build_model(config, data.reads, fresh=True), setting.device, setting.dtype)
        assert data.stages is not None
        begin, begun = started(), time.time()
        data.stages.begin(model, Path(folder) / "run", Silent())
        frozen_seconds = started() - begin
        done = fit(
            model,
            data.batches,
            data.test_batches,
            config,
            dtype=setting.dtype,
            classes=10,
            groups=data.stages.groups(model),
        )
        evaluation, _ = data.stages.finish(model, done.evaluation)
    # Features of the test images, and evaluations of them, are beside the epochs; the peers' clocks leave them out too.
    tested = frozen_seconds * len(arrays()[2]) / (IMAGES + len(arrays()[2]))
    epochs = sum(IMAGES / epoch.samples_per_second for epoch in done.records)
    record.first_step_seconds = begun - record.started + frozen_seconds + done.first_step_seconds
    whole_run(record, frozen_seconds - tested + epochs)
    record.finish(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        accuracy=evaluation.accuracy,
        versions={"rooflight": rooflight.__version__, "torch": torch.__version__, "dtype": str(setting.dtype)},
    )


main()
