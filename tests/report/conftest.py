"""A run of three classes, small enough to check by hand."""

from collections.abc import Callable

import pytest

from rooflight.core.runs import (
    Artifact,
    DataInfo,
    EpochRecord,
    Evaluation,
    Parity,
    Prediction,
    Preprocessing,
    TrainResult,
)
from rooflight.core.training import TrainConfig
from rooflight.core.types import Comparison, Environment

PREPROCESSING = Preprocessing(channels=1, height=28, width=28, mean=(0.286,), std=(0.353,))
MakeResult = Callable[..., TrainResult]


@pytest.fixture
def make_result() -> MakeResult:
    return _result


def _result(
    *,
    classes: tuple[str, ...] = ("boot", "bag", "바지"),
    confusion: tuple[tuple[int, ...], ...] = ((90, 10, 0), (5, 95, 0), (0, 40, 60)),
    epochs: int = 3,
    losses: tuple[float, ...] | None = None,
) -> TrainResult:
    count = sum(map(sum, confusion))
    right = sum(confusion[i][i] for i in range(len(confusion)))
    test_losses = losses or tuple(1.0 / epoch for epoch in range(1, epochs + 1))
    records = tuple(
        EpochRecord(
            epoch=epoch,
            step=10 * epoch,
            train_loss=1.2 / epoch,
            train_accuracy=1 - 0.4 / epoch,
            test_loss=loss,
            test_accuracy=1 - 0.5 / epoch,
            lr=1e-3,
            samples_per_second=5312.4,
            seconds=2.0 * epoch,
        )
        for epoch, loss in enumerate(test_losses, start=1)
    )
    return TrainResult(
        run="runs/first",
        config=TrainConfig(epochs=epochs),
        data=DataInfo(
            name="bundled", source="rooflight", train_count=600, test_count=count, classes=classes, sha256="ab" * 32
        ),
        preprocessing=PREPROCESSING,
        device="a CPU of 2 cores",
        dtype="bfloat16",
        reasons=("dtype bfloat16: the processor multiplies it in hardware",),
        parameters=93322,
        steps=30,
        samples_per_second=5312.4,
        step_seconds=0.0241,
        first_step_seconds=2.31,
        evaluation=Evaluation(accuracy=right / count, loss=0.3, count=count, confusion=confusion),
        epochs=records,
        environment=Environment(
            device="a CPU",
            system="Linux 6.1",
            python="3.11.7",
            packages={"torch": "2.14.1"},
            threads=2,
            settings=(),
            commit=None,
            date="2026-11-24T08:41:47Z",
        ),
        comparisons=(Comparison(name="throughput", unit="samples/s", predicted=5720, measured=5312.4, error=0.0767),),
    )


@pytest.fixture
def artifact() -> Artifact:
    return Artifact(
        format="onnx",
        path="/somewhere/model.onnx",
        bytes=388412,
        sha256="9f" * 32,
        checked_with="onnxruntime 1.32.0 (cpu)",
        parity=(
            Parity(batch=1, largest_difference=2.4e-7, tolerance=1e-5, agrees=True),
            Parity(batch=64, largest_difference=0.03, tolerance=1e-5, agrees=False),
        ),
        input_name="image",
        input_shape=(None, 1, 28, 28),
        classes=("boot", "bag", "바지"),
        preprocessing=PREPROCESSING,
    )


@pytest.fixture
def prediction() -> Prediction:
    return Prediction(input="photos/가방.png", label="bag", probability=0.943, top=(("bag", 0.943), ("boot", 0.05)))
